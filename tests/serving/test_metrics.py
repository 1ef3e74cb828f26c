import threading

from serving.metrics import LATENCY_LIMITS, Counter, Histogram, exposition


def test_the_page_that_prometheus_reads() -> None:
    count = Counter(":a:count", "What is counted.", "model", "status")
    count.add("m", "OK")
    count.add("m", "OK", amount=2)
    count.add('back\\slash "quote"\nline', "NOT_FOUND")
    bare = Counter(":a:bare", "No labels.")
    bare.add()
    assert exposition([count, bare]).splitlines() == [
        "# HELP :a:count What is counted.",
        "# TYPE :a:count counter",
        ':a:count{model="m",status="OK"} 3',
        r':a:count{model="back\\slash \"quote\"\nline",status="NOT_FOUND"} 1',
        "# HELP :a:bare No labels.",
        "# TYPE :a:bare counter",
        ":a:bare{} 1",
    ]


def test_a_histogram_counts_up_to_each_limit() -> None:
    """10 lies in the first bucket, 11 and 18 in the second, a day beyond them all."""
    histogram = Histogram(":a:latency", "Microseconds.", "model")
    for value in (10, 11, 18, 86_400e6):
        histogram.observe(value, "m")
    lines = list(histogram.lines())
    assert lines[:4] == [
        ':a:latency_bucket{model="m",le="10"} 1',
        ':a:latency_bucket{model="m",le="18"} 3',
        ':a:latency_bucket{model="m",le="32.4"} 3',
        ':a:latency_bucket{model="m",le="58.32"} 3',
    ]
    assert lines[-3:] == [
        ':a:latency_bucket{model="m",le="+Inf"} 4',
        ':a:latency_sum{model="m"} 86400000039.000000',
        ':a:latency_count{model="m"} 4',
    ]
    assert len(lines) == len(LATENCY_LIMITS) + 3


def test_threads_lose_no_count() -> None:
    count, histogram = Counter("c", ""), Histogram("h", "")

    def add() -> None:
        for _ in range(2000):
            count.add()
            histogram.observe(1)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(count.lines()) == ["c{} 8000"]
    assert list(histogram.lines())[-1] == "h_count{} 8000"
