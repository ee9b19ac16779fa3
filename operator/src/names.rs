//! The names, labels and annotations of what the operator makes in the cluster.
//!
//! In: nothing. Out: constants, which the chart's templates and RBAC repeat.

/// The label of shadow Services; its value is [`SHADOW_VALUE`].
pub const SHADOW_LABEL: &str = "weft.mesh/shadow";
/// The value of [`SHADOW_LABEL`].
pub const SHADOW_VALUE: &str = "true";
/// The label that tells whose work an object is.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY_LABEL`] on the operator's own objects; the chart's say `Helm`.
pub const MANAGED_BY: &str = "weft-operator";
/// The field manager of the operator's writes.
pub const FIELD_MANAGER: &str = "weft-operator";
/// The label with the application's name, on every pod of the mesh.
pub const NAME_LABEL: &str = "app.kubernetes.io/name";
/// The value of [`NAME_LABEL`].
pub const APPLICATION: &str = "weft";
/// The label with the part that a pod plays.
pub const COMPONENT_LABEL: &str = "app.kubernetes.io/component";
/// The value of [`COMPONENT_LABEL`] on proxy pods.
pub const PROXY_COMPONENT: &str = "proxy";
/// The value of [`COMPONENT_LABEL`] on operator pods.
pub const OPERATOR_COMPONENT: &str = "operator";
/// The annotation of a shadow Service with the namespace of the Service it stands for.
pub const SERVICE_NAMESPACE_ANNOTATION: &str = "weft.mesh/service-namespace";
/// The annotation of a shadow Service with the name of the Service it stands for.
pub const SERVICE_NAME_ANNOTATION: &str = "weft.mesh/service-name";
/// The Lease by which one operator at a time writes.
pub const LEASE_NAME: &str = "weft-operator";
/// The Service in front of the proxies' DNS ports.
pub const DNS_SERVICE: &str = "weft-dns";
