"""The parts of the shop simulator; `catalog.simulate` puts them together."""
