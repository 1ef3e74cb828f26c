import threading

from serving.call_record import Call, CallPool, current_call


def test_a_call_is_known_to_its_thread_alone_and_recorded_when_it_ends() -> None:
    recorded: list[Call] = []
    both = threading.Barrier(2)

    def work(api: str) -> str:
        both.wait(timeout=30)
        call = current_call()
        call.api = api
        both.wait(timeout=30)
        assert current_call() is call
        return api

    with CallPool(2, "test", recorded.append) as pool:
        futures = [pool.submit(work, api) for api in ("Predict", "")]
        assert [future.result() for future in futures] == ["Predict", ""]
    assert [call.api for call in recorded] == ["Predict"], "what is no call of the API is not recorded"
    assert recorded[0].queued <= recorded[0].started <= recorded[0].finished


def test_a_call_that_fails_is_recorded_too() -> None:
    recorded: list[Call] = []

    def fail() -> None:
        current_call().api = "Predict"
        raise ValueError

    with CallPool(1, "test", recorded.append) as pool:
        assert isinstance(pool.submit(fail).exception(), ValueError)
    assert len(recorded) == 1


def test_outside_a_pool_a_call_is_nobody_s() -> None:
    current_call().api = "Predict"
    assert current_call().api == ""


def test_a_call_that_finds_too_many_waiting_is_handed_on_as_refused() -> None:
    recorded: list[Call] = []
    busy, free = threading.Event(), threading.Event()

    def work() -> bool:
        call = current_call()
        call.api = "Predict"
        if not call.refused:
            busy.set()
            assert free.wait(timeout=30)
        return call.refused

    with CallPool(1, "test", recorded.append, waiting=1) as pool:
        first = pool.submit(work)
        assert busy.wait(timeout=30)
        second, third = pool.submit(work), pool.submit(work)
        assert third.result(timeout=30)
        assert not second.done()
        free.set()
        assert not first.result(timeout=30)
        assert not second.result(timeout=30)
    assert [call.refused for call in recorded] == [True, False, False]
