"""The composition root: configuration tree, command line and the jobs that know all stages."""
