"""Hosts to test on: built from packages, booted in a second, entered, cut off and removed."""
