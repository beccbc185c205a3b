// The public names of @handfast/tls, grouped by reader.
