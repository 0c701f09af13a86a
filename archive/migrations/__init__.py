"""The history of the catalogue's tables. Each step is tested up and down with rows in them."""
