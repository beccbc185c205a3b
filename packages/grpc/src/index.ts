// The public names of @handfast/grpc, grouped by reader.
