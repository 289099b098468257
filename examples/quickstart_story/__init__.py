"""The story behind `examples/quickstart`: one guest, one signed repository, and what the agent makes of both."""
