// The public names of @handfast/policy, grouped by reader.
