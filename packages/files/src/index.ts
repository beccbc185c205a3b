// The public names of @handfast/files, grouped by reader.
