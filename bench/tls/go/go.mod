module handfast.test/bench

go 1.24
