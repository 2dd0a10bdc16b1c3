"""What lies where on disk: layout, manifests, and files that appear whole or not at all."""
