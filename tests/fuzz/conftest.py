"""How many examples: some that are always the same, or as many new ones as $ENERGAN_FUZZ says.

`make test` runs about ten seconds of the first, `make fuzz` about an hour of the second.
"""

import os

from hypothesis import HealthCheck, settings

asked = os.environ.get("ENERGAN_FUZZ")
settings.register_profile(
    "fuzz",
    max_examples=int(asked) if asked else 150,
    derandomize=not asked,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
# not loaded here, which would hold for all tests that are imported later: the tests name it
