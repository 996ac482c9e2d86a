"""The embedded platform: what stands in for the cloud where there are no credentials."""
