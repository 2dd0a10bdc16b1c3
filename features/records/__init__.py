"""What the TFRecords hold, how they are written column by column and how they are parsed."""
