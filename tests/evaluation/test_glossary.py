from evaluation.glossary import explain, label


def test_labels_keep_the_cut_off():
    assert label("ndcg@10") == "NDCG@10"
    assert label("mrr") == "MRR"
    assert label("log-loss") == "log-loss"


def test_explanations_name_the_cut_off():
    assert "first 10" in explain("ctr@10")
    assert explain("log-loss") == ""
