module weft/hack/kubernetes/flagger

go 1.24.0

require github.com/fluxcd/flagger v1.36.1

tool github.com/fluxcd/flagger/cmd/flagger
