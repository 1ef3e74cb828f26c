"""The DCN-V2 reranker: features, cross network, training and export."""
