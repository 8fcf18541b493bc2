"""A page in a browser, and routes for programs, over the runs in a folder (`energan studio`).

It is thin: what it shows and starts is made by the functions of the command line.
"""
