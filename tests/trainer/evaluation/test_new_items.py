"""Lists with places for new items, as the evaluation makes them; the cold items of end to end tests have the curve."""

import numpy as np

from trainer.evaluation.new_items import with_places


def test_new_items_take_places_from_the_end_and_short_lists_have_room() -> None:
    is_new = np.array([False, False, False, True, True])
    lists, new_rows = np.array([[0, 1, 2], [2, 3, 0], [1, -1, -1]]), np.array([[4, 3], [4, 3], [3, -1]])
    # Row -1 would read the last item, which is new.
    assert with_places(lists, new_rows, is_new, 0).tolist() == lists.tolist()
    assert with_places(lists, new_rows, is_new, 1).tolist() == [[0, 1, 4], [2, 3, 0], [1, 3, -1]]
    assert with_places(lists, new_rows, is_new, 2).tolist() == [[0, 4, 3], [2, 3, 4], [1, 3, -1]]
