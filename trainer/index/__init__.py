"""Nearest-item search inside a TensorFlow graph: from item embeddings and ids to a part of a SavedModel.

    report      what was built and what it measured, for a manifest (no TensorFlow)
    base        the contract of every index
    vectors     the stored embeddings and the exact scan over them
    exact       the exact index, stock TensorFlow operations only
    scann       what the ScaNN indexes share; scann_brute_force, scann_hash and scann_tree are the kinds
    build       the one function that builds, tunes and measures an index of any kind
    tuning      the recall/latency curve and the point chosen on it
    recall      recall of an index against an exact one
    item_ids    string ids to rows and back
    attributes  item attributes and the filters over them
    filtering   how a filtered query is answered: fetch more, or scan what passes
    filtered_retriever  ids, exclusions and filters over an index: what a signature calls

Nothing here knows features or schemas. The modules that need TensorFlow are imported by those who use them.
"""
