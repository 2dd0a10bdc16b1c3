"""`recstack init`: from tables that nobody has described to a configuration, by rules that say why."""
