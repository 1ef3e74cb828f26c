"""The modalities that `benchmarks.ablations` hides in turn from the unchanged towers."""

UNCHANGED = "unchanged"
PRODUCT_MASKS = {"text": ("text",), "picture": ("image",), "behaviour": ("behaviour", "identity")}
QUERY_MASKS = {"history": ("history",)}
MODALITIES = (*PRODUCT_MASKS, *QUERY_MASKS)
