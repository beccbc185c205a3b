// The public names of @handfast/x509, grouped by reader.
