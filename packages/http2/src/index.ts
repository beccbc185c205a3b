// The public names of @handfast/http2, grouped by reader.
