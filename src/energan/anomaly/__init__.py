"""Whether an event is normal: energies of normal ones, a threshold, percentiles, heat maps."""
