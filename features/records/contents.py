"""What the TFRecords of a dataset hold: the keys beside the schema's features, and their meaning. No TensorFlow here.

Interaction record (`train`, `validation`, `test` and the same below `ranking`): one `tf.train.Example` a user, or a
window of a user with very many events. It holds, under the names of the schema,

    user features             the user id always, and the columns of the users table: one value each, a list for vectors
    num_context               one int64: the first `num_context` events are context only, the rest are targets
    item id, timestamp,       lists of equal length, one entry an event, in order of time and then of item id:
    context features,         bytes, int64 (seconds since 1970-01-01 UTC), the feature's own type,
    the tasks' labels,        float32, one list a task under its name; NaN where the event says nothing of the task,
    weight                    float32: of the example in the loss
    event_type                bytes, only where the schema has `history_event_types`: the kind of event
    in_history                int64: 1 if the event enters the histories of later events, 0 if it must not
    item_events               int64, ranking only, where the schema asks for it: positive interactions of all users with
                              the item strictly before the event, of its own and earlier splits
    sampling_probability      float32, ranking only: 1 for a logged event, else the probability of the sampled negative

The history of an event is every event of the record with `in_history = 1` and a timestamp strictly before its own,
the last `length` of them. Two events of the same moment (one basket) never see each other. Training records hold
training events only. A validation record holds the user's training events as context and the validation events as
targets; a test record has training and validation events as context. Targets of validation and test may be items or
users that training never saw.

Retrieval records hold positive interactions only (`in_history = 1` throughout); ranking records hold labelled events.

Candidate record: one Example an item of the catalogue, with the candidate features and

    train_frequency           one int64: positive training interactions with the item (for the logQ correction)
    item_events               one int64, where the schema asks for it: positive interactions of all splits, which is
                              what the item has behind it when a request comes

Candidates come in the order of the item vocabulary, then the items without training interactions in code point order.

A missing string is `""`, a missing number NaN, a missing list empty.
"""

from typing import Final, Literal, TypeAlias

from features.schema import Schema
from features.spec.base import RawType

RecordKind: TypeAlias = Literal["retrieval", "ranking"]

NUM_CONTEXT: Final = "num_context"
WEIGHT: Final = "weight"
EVENT_TYPE: Final = "event_type"
IN_HISTORY: Final = "in_history"
ITEM_EVENTS: Final = "item_events"
SAMPLING_PROBABILITY: Final = "sampling_probability"
TRAIN_FREQUENCY: Final = "train_frequency"


def user_columns(schema: Schema) -> dict[str, RawType]:
    """Columns with one value a record, by name; `num_context` is not among them."""
    columns: dict[str, RawType] = {schema.user_id: "string"}
    return columns | {feature.name: feature.raw_type for feature in schema.user_features}


def event_columns(schema: Schema, *, records: RecordKind) -> dict[str, RawType]:
    """Columns with one value an event, by name, in the order they are written."""
    ranking = records == "ranking"
    columns: dict[str, RawType] = {schema.item_id: "string", schema.timestamp: "int64"}
    columns |= {feature.name: feature.raw_type for feature in schema.context_features}
    if schema.history_event_types is not None:
        columns[EVENT_TYPE] = "string"
    columns |= {task.name: "float32" for task in schema.task}
    columns |= {WEIGHT: "float32", IN_HISTORY: "int64"}
    if ranking and schema.item_events:
        columns[ITEM_EVENTS] = "int64"
    return columns | ({SAMPLING_PROBABILITY: "float32"} if ranking else {})
