"""The configuration file and the environment become settings."""
