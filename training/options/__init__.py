"""What can be chosen: the configuration of a run and the settings that train."""
