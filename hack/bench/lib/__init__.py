"""What `hack/bench/http` and `hack/bench/profile` are made of; standard library only."""
