import numpy as np

from res3d.tracking.track_arrays import TrackArrays


class Arrays(TrackArrays):
    arrays = ("labels", "boxes")

    def __init__(self) -> None:
        self.labels, self.boxes = np.zeros(0, np.int64), np.zeros((0, 2))
        self.fields = {}


def test_appended_rows_have_zeros_where_values_are_missing():
    arrays = Arrays()
    arrays.append(2, {}, labels=np.array([4, 5]), boxes=np.ones((2, 2)))
    arrays.append(1, {"embeddings": np.ones((1, 3))}, labels=np.array([6]))
    arrays.append(1, {})
    assert len(arrays) == 4
    assert arrays.labels.tolist() == [4, 5, 6, 0]
    assert arrays.labels.dtype == np.int64
    assert arrays.boxes.tolist() == [[1, 1], [1, 1], [0, 0], [0, 0]]
    assert arrays.fields["embeddings"].tolist() == [[0, 0, 0], [0, 0, 0], [1, 1, 1], [0, 0, 0]]


def test_keep_drops_the_other_rows_of_all_arrays():
    arrays = Arrays()
    arrays.append(3, {"actions": np.arange(3.0)[:, None]}, labels=np.array([4, 5, 6]))
    arrays.keep(np.array([True, False, True]))
    assert len(arrays) == 2
    assert arrays.labels.tolist() == [4, 6]
    assert arrays.boxes.shape == (2, 2)
    assert arrays.fields["actions"].tolist() == [[0], [2]]
