"""Contents of a dataset's TFRecords: the keys beside the schema's features, and their meaning. No TensorFlow here.

Interaction record (`train`, `validation`, `test` and the same below `ranking`): one `tf.train.Example` per user, or per
window of a user with very many events. Its keys are

    user features             the user id, always, and the columns of the users table: one value each (vectors: a list)
    num_context               one int64: the first `num_context` events are only context, the others are targets

and lists of equal length with one entry per event, in order of time and then of item id:

    item id                   bytes
    timestamp                 int64, seconds since 1970-01-01 UTC
    context features          of the feature's own type
    the tasks' labels         float32, one list per task under its name; NaN where the label of the event is unknown
    weight                    float32: weight of the example in the loss
    event_type                bytes, if the schema has `history_event_types`: type of the event
    in_history                int64: 1 if the event is part of the histories of later events, else 0
    item_events               int64, ranking only, if the schema asks for it: positive interactions of all users with
                              the item strictly before the event, in the event's split and earlier splits
    sampling_probability      float32, ranking only: 1 for a logged event, else the probability of the sampled negative

The history of an event is the last `length` events of the record with `in_history = 1` and an earlier timestamp. Events
with the same timestamp (one basket) are not in each other's histories. Training records hold training events only. A
validation record holds the user's training events as context and the validation events as targets. A test record has
training and validation events as context. Targets of validation and test may be items or users without training events.

Retrieval records hold positive interactions only, all with `in_history = 1`. Ranking records hold labelled events.

Candidate record: one Example per item of the catalogue. Its keys are the candidate features and

    train_frequency           one int64: positive training interactions with the item, for the logQ correction
    item_events               one int64, if the schema asks for it: positive interactions with the item in all splits,
                              which is the item's count when a request arrives

Candidates are in the order of the item vocabulary, followed by items without training interactions in code point order.

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
    """Columns with one value per record, by name, except `num_context`."""
    columns: dict[str, RawType] = {schema.user_id: "string"}
    return columns | {feature.name: feature.raw_type for feature in schema.user_features}


def event_columns(schema: Schema, *, records: RecordKind) -> dict[str, RawType]:
    """Columns with one value per event, by name."""
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
