from evaluation.provenance import PACKAGES, describe_machine, package_versions, provenance


def test_the_machine_is_described():
    machine = describe_machine()
    assert int(machine["cores"]) >= 1
    assert machine["memory"].endswith("GiB")


def test_packages_that_are_missing_are_said_to_be(monkeypatch):
    monkeypatch.setattr("evaluation.provenance.PACKAGES", ("no-such-package",))
    assert package_versions()["no-such-package"] == "not installed"


def test_every_package_that_moves_numbers_is_named():
    assert set(PACKAGES) <= set(provenance().versions)
