// The public names of @handfast/ca, grouped by reader.
