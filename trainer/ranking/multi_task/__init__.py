"""How the tasks of the ranking model share networks, one file each."""
