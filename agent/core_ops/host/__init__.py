"""Adapters: each module speaks to one outside system, makes one change at a time and reports. None of them decides."""
