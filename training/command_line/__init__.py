"""From the arguments of a command line to a configuration, or an error that names what is valid."""
