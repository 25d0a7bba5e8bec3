"""Re-identification: what somebody with everything public can name of a hidden split, tried on drawn releases.

A reader has the repository, the base, the public splits and all that is published of hidden runs. Releases are drawn
afresh, reference entries run on them, and attackers who are given their published files alone name the facts that are
to be forgotten. Their hits are held against those of the same guesses on other draws of the builder.
"""
