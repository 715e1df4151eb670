// Written by the unit test `every_name`; see src/every_name.rs.
pub const NAMES: &[&str] = &["Arc", "C", "CLASSES", "Call", "CallError", "Clone", "Debug", "DebugStruct", "Default", "Deserialize", "Endpoint", "Err", "Fail", "FailUndeclared", "Failure", "FnOnce", "Formatter", "From", "Future", "MODULE", "MethodError", "None", "OTHER_CLASSES", "Ok", "Option", "Output", "Owned", "OxloArgs", "OxloImplementor", "OxloRest", "OxloTypeA", "PendingCall", "PendingMethod", "RPCClient", "RemoteError", "Rest", "Result", "Send", "Serialize", "Some", "Spec", "Sync", "Target", "ToOwned", "Transport", "VERSION", "__private", "allow", "answer", "any_fields", "args", "arguments", "automatically_derived", "blocking_method", "borrow", "call", "call_method", "can_send_version", "cast", "check_error", "check_received", "check_sent_and_received", "class_of", "client", "clippy", "clone", "context", "convert", "core", "ctxt", "dead_code", "debug_struct", "default", "deny_unknown_fields", "deprecated", "derive", "diverging_sub_expression", "doc", "extract", "extractor", "fail", "failure", "fanout", "fields", "finish_non_exhaustive", "flatten", "fmt", "from", "from_failure", "future", "future_of_outcome", "idempotent", "implementation", "into_rpc", "keyword", "later", "marker", "message", "method", "missing", "module_of", "must_use", "namespace", "new", "non_camel_case_types", "non_snake_case", "ops", "option", "or_else", "outcome", "over", "overrides", "oxlo", "oxlo_args", "oxlo_argument_0", "oxlo_argument_1", "oxlo_argument_2", "oxlo_argument_3", "oxlo_call", "oxlo_client", "oxlo_ctxt", "oxlo_endpoint", "oxlo_error", "oxlo_extracted_1", "oxlo_failure", "oxlo_field_0", "oxlo_field_1", "oxlo_formatter", "oxlo_served", "oxlo_states", "oxlo_text", "oxlo_this", "oxlo_value", "oxlo_version", "positional", "prepare", "primitive", "refuse_rest", "remote", "rename", "result", "rpc", "serde", "served", "server", "shared", "shared_endpoint", "skip_serializing_if", "start", "start_method", "std", "str", "stringify", "sync", "target", "text", "this", "to_failure", "to_value", "too_many_arguments", "transport", "u8", "unreachable_code", "unused_imports", "value", "version", "with", "with_args", "with_kwarg"];

pub const VARIABLES: &[&str] = &["Arc", "C", "CLASSES", "Call", "CallError", "Clone", "Debug", "DebugStruct", "Default", "Deserialize", "Endpoint", "Fail", "FailUndeclared", "Failure", "FnOnce", "Formatter", "From", "Future", "MODULE", "MethodError", "OTHER_CLASSES", "Option", "Output", "Owned", "OxloArgs", "OxloImplementor", "OxloRest", "OxloTypeA", "PendingCall", "PendingMethod", "RPCClient", "RemoteError", "Rest", "Result", "Send", "Serialize", "Spec", "Sync", "Target", "ToOwned", "Transport", "VERSION", "__private", "allow", "answer", "any_fields", "args", "arguments", "automatically_derived", "blocking_method", "borrow", "call", "call_method", "can_send_version", "cast", "check_error", "check_received", "check_sent_and_received", "class_of", "client", "clippy", "clone", "context", "convert", "core", "ctxt", "dead_code", "debug_struct", "default", "deny_unknown_fields", "deprecated", "derive", "diverging_sub_expression", "doc", "extract", "extractor", "fail", "failure", "fanout", "fields", "finish_non_exhaustive", "flatten", "fmt", "from", "from_failure", "future", "future_of_outcome", "idempotent", "implementation", "into_rpc", "keyword", "later", "marker", "message", "method", "missing", "module_of", "must_use", "namespace", "new", "non_camel_case_types", "non_snake_case", "ops", "option", "or_else", "outcome", "over", "overrides", "oxlo", "oxlo_args", "oxlo_argument_0", "oxlo_argument_1", "oxlo_argument_2", "oxlo_argument_3", "oxlo_call", "oxlo_client", "oxlo_ctxt", "oxlo_endpoint", "oxlo_error", "oxlo_extracted_1", "oxlo_failure", "oxlo_field_0", "oxlo_field_1", "oxlo_formatter", "oxlo_served", "oxlo_states", "oxlo_text", "oxlo_this", "oxlo_value", "oxlo_version", "positional", "prepare", "primitive", "refuse_rest", "remote", "rename", "result", "rpc", "serde", "served", "server", "shared", "shared_endpoint", "skip_serializing_if", "start", "start_method", "std", "str", "stringify", "sync", "target", "text", "this", "to_failure", "to_value", "too_many_arguments", "transport", "u8", "unreachable_code", "unused_imports", "value", "version", "with", "with_args", "with_kwarg"];

#[::oxlo::contract(version = "1.0")]
pub trait Arguments {
    async fn m0(&self, _: &::oxlo::Context, Arc: i64, C: &str, CLASSES: crate::Item, Call: i64, CallError: &str, Clone: crate::Item, Debug: i64, DebugStruct: &str, Default: crate::Item) -> ::std::vec::Vec<crate::Value>;
    async fn m1(&self, _: &::oxlo::Context, Deserialize: i64, Endpoint: &str, Fail: crate::Item, FailUndeclared: i64, Failure: &str, FnOnce: crate::Item, Formatter: i64, From: &str, Future: crate::Item) -> ::std::vec::Vec<crate::Value>;
    async fn m2(&self, _: &::oxlo::Context, MODULE: i64, MethodError: &str, OTHER_CLASSES: crate::Item, Option: i64, Output: &str, Owned: crate::Item, OxloArgs: i64, OxloImplementor: &str, OxloRest: crate::Item) -> ::std::vec::Vec<crate::Value>;
    async fn m3(&self, _: &::oxlo::Context, OxloTypeA: i64, PendingCall: &str, PendingMethod: crate::Item, RPCClient: i64, RemoteError: &str, Rest: crate::Item, Result: i64, Send: &str, Serialize: crate::Item) -> ::std::vec::Vec<crate::Value>;
    async fn m4(&self, _: &::oxlo::Context, Spec: i64, Sync: &str, Target: crate::Item, ToOwned: i64, Transport: &str, VERSION: crate::Item, __private: i64, allow: &str, answer: crate::Item) -> ::std::vec::Vec<crate::Value>;
    async fn m5(&self, _: &::oxlo::Context, any_fields: i64, args: &str, arguments: crate::Item, automatically_derived: i64, blocking_method: &str, borrow: crate::Item, call: i64, call_method: &str, can_send_version: crate::Item) -> ::std::vec::Vec<crate::Value>;
    async fn m6(&self, _: &::oxlo::Context, cast: i64, check_error: &str, check_received: crate::Item, check_sent_and_received: i64, class_of: &str, client: crate::Item, clippy: i64, clone: &str, context: crate::Item) -> ::std::vec::Vec<crate::Value>;
    async fn m7(&self, _: &::oxlo::Context, convert: i64, core: &str, ctxt: crate::Item, dead_code: i64, debug_struct: &str, default: crate::Item, deny_unknown_fields: i64, deprecated: &str, derive: crate::Item) -> ::std::vec::Vec<crate::Value>;
    async fn m8(&self, _: &::oxlo::Context, diverging_sub_expression: i64, doc: &str, extract: crate::Item, extractor: i64, fail: &str, failure: crate::Item, fanout: i64, fields: &str, finish_non_exhaustive: crate::Item) -> ::std::vec::Vec<crate::Value>;
    async fn m9(&self, _: &::oxlo::Context, flatten: i64, fmt: &str, from: crate::Item, from_failure: i64, future: &str, future_of_outcome: crate::Item, idempotent: i64, implementation: &str, into_rpc: crate::Item) -> ::std::vec::Vec<crate::Value>;
    async fn m10(&self, _: &::oxlo::Context, keyword: i64, later: &str, marker: crate::Item, message: i64, method: &str, missing: crate::Item, module_of: i64, must_use: &str, namespace: crate::Item) -> ::std::vec::Vec<crate::Value>;
    async fn m11(&self, _: &::oxlo::Context, new: i64, non_camel_case_types: &str, non_snake_case: crate::Item, ops: i64, option: &str, or_else: crate::Item, outcome: i64, over: &str, overrides: crate::Item) -> ::std::vec::Vec<crate::Value>;
    async fn m12(&self, _: &::oxlo::Context, oxlo: i64, oxlo_args: &str, oxlo_argument_0: crate::Item, oxlo_argument_1: i64, oxlo_argument_2: &str, oxlo_argument_3: crate::Item, oxlo_call: i64, oxlo_client: &str, oxlo_ctxt: crate::Item) -> ::std::vec::Vec<crate::Value>;
    async fn m13(&self, _: &::oxlo::Context, oxlo_endpoint: i64, oxlo_error: &str, oxlo_extracted_1: crate::Item, oxlo_failure: i64, oxlo_field_0: &str, oxlo_field_1: crate::Item, oxlo_formatter: i64, oxlo_served: &str, oxlo_states: crate::Item) -> ::std::vec::Vec<crate::Value>;
    async fn m14(&self, _: &::oxlo::Context, oxlo_text: i64, oxlo_this: &str, oxlo_value: crate::Item, oxlo_version: i64, positional: &str, prepare: crate::Item, primitive: i64, refuse_rest: &str, remote: crate::Item) -> ::std::vec::Vec<crate::Value>;
    async fn m15(&self, _: &::oxlo::Context, rename: i64, result: &str, rpc: crate::Item, serde: i64, served: &str, server: crate::Item, shared: i64, shared_endpoint: &str, skip_serializing_if: crate::Item) -> ::std::vec::Vec<crate::Value>;
    async fn m16(&self, _: &::oxlo::Context, start: i64, start_method: &str, std: crate::Item, str: i64, stringify: &str, sync: crate::Item, target: i64, text: &str, this: crate::Item) -> ::std::vec::Vec<crate::Value>;
    async fn m17(&self, _: &::oxlo::Context, to_failure: i64, to_value: &str, too_many_arguments: crate::Item, transport: i64, u8: &str, unreachable_code: crate::Item, unused_imports: i64, value: &str, version: crate::Item) -> ::std::vec::Vec<crate::Value>;
    async fn m18(&self, _: &::oxlo::Context, with: i64, with_args: &str, with_kwarg: crate::Item) -> ::std::vec::Vec<crate::Value>;
}

impl Arguments for crate::Served {
    async fn m0(&self, _: &::oxlo::Context, Arc: i64, C: &str, CLASSES: crate::Item, Call: i64, CallError: &str, Clone: crate::Item, Debug: i64, DebugStruct: &str, Default: crate::Item) -> ::std::vec::Vec<crate::Value> {
        ::std::vec![crate::Value::from(Arc), crate::Value::from(C), crate::Value::from(CLASSES), crate::Value::from(Call), crate::Value::from(CallError), crate::Value::from(Clone), crate::Value::from(Debug), crate::Value::from(DebugStruct), crate::Value::from(Default), ]
    }
    async fn m1(&self, _: &::oxlo::Context, Deserialize: i64, Endpoint: &str, Fail: crate::Item, FailUndeclared: i64, Failure: &str, FnOnce: crate::Item, Formatter: i64, From: &str, Future: crate::Item) -> ::std::vec::Vec<crate::Value> {
        ::std::vec![crate::Value::from(Deserialize), crate::Value::from(Endpoint), crate::Value::from(Fail), crate::Value::from(FailUndeclared), crate::Value::from(Failure), crate::Value::from(FnOnce), crate::Value::from(Formatter), crate::Value::from(From), crate::Value::from(Future), ]
    }
    async fn m2(&self, _: &::oxlo::Context, MODULE: i64, MethodError: &str, OTHER_CLASSES: crate::Item, Option: i64, Output: &str, Owned: crate::Item, OxloArgs: i64, OxloImplementor: &str, OxloRest: crate::Item) -> ::std::vec::Vec<crate::Value> {
        ::std::vec![crate::Value::from(MODULE), crate::Value::from(MethodError), crate::Value::from(OTHER_CLASSES), crate::Value::from(Option), crate::Value::from(Output), crate::Value::from(Owned), crate::Value::from(OxloArgs), crate::Value::from(OxloImplementor), crate::Value::from(OxloRest), ]
    }
    async fn m3(&self, _: &::oxlo::Context, OxloTypeA: i64, PendingCall: &str, PendingMethod: crate::Item, RPCClient: i64, RemoteError: &str, Rest: crate::Item, Result: i64, Send: &str, Serialize: crate::Item) -> ::std::vec::Vec<crate::Value> {
        ::std::vec![crate::Value::from(OxloTypeA), crate::Value::from(PendingCall), crate::Value::from(PendingMethod), crate::Value::from(RPCClient), crate::Value::from(RemoteError), crate::Value::from(Rest), crate::Value::from(Result), crate::Value::from(Send), crate::Value::from(Serialize), ]
    }
    async fn m4(&self, _: &::oxlo::Context, Spec: i64, Sync: &str, Target: crate::Item, ToOwned: i64, Transport: &str, VERSION: crate::Item, __private: i64, allow: &str, answer: crate::Item) -> ::std::vec::Vec<crate::Value> {
        ::std::vec![crate::Value::from(Spec), crate::Value::from(Sync), crate::Value::from(Target), crate::Value::from(ToOwned), crate::Value::from(Transport), crate::Value::from(VERSION), crate::Value::from(__private), crate::Value::from(allow), crate::Value::from(answer), ]
    }
    async fn m5(&self, _: &::oxlo::Context, any_fields: i64, args: &str, arguments: crate::Item, automatically_derived: i64, blocking_method: &str, borrow: crate::Item, call: i64, call_method: &str, can_send_version: crate::Item) -> ::std::vec::Vec<crate::Value> {
        ::std::vec![crate::Value::from(any_fields), crate::Value::from(args), crate::Value::from(arguments), crate::Value::from(automatically_derived), crate::Value::from(blocking_method), crate::Value::from(borrow), crate::Value::from(call), crate::Value::from(call_method), crate::Value::from(can_send_version), ]
    }
    async fn m6(&self, _: &::oxlo::Context, cast: i64, check_error: &str, check_received: crate::Item, check_sent_and_received: i64, class_of: &str, client: crate::Item, clippy: i64, clone: &str, context: crate::Item) -> ::std::vec::Vec<crate::Value> {
        ::std::vec![crate::Value::from(cast), crate::Value::from(check_error), crate::Value::from(check_received), crate::Value::from(check_sent_and_received), crate::Value::from(class_of), crate::Value::from(client), crate::Value::from(clippy), crate::Value::from(clone), crate::Value::from(context), ]
    }
    async fn m7(&self, _: &::oxlo::Context, convert: i64, core: &str, ctxt: crate::Item, dead_code: i64, debug_struct: &str, default: crate::Item, deny_unknown_fields: i64, deprecated: &str, derive: crate::Item) -> ::std::vec::Vec<crate::Value> {
        ::std::vec![crate::Value::from(convert), crate::Value::from(core), crate::Value::from(ctxt), crate::Value::from(dead_code), crate::Value::from(debug_struct), crate::Value::from(default), crate::Value::from(deny_unknown_fields), crate::Value::from(deprecated), crate::Value::from(derive), ]
    }
    async fn m8(&self, _: &::oxlo::Context, diverging_sub_expression: i64, doc: &str, extract: crate::Item, extractor: i64, fail: &str, failure: crate::Item, fanout: i64, fields: &str, finish_non_exhaustive: crate::Item) -> ::std::vec::Vec<crate::Value> {
        ::std::vec![crate::Value::from(diverging_sub_expression), crate::Value::from(doc), crate::Value::from(extract), crate::Value::from(extractor), crate::Value::from(fail), crate::Value::from(failure), crate::Value::from(fanout), crate::Value::from(fields), crate::Value::from(finish_non_exhaustive), ]
    }
    async fn m9(&self, _: &::oxlo::Context, flatten: i64, fmt: &str, from: crate::Item, from_failure: i64, future: &str, future_of_outcome: crate::Item, idempotent: i64, implementation: &str, into_rpc: crate::Item) -> ::std::vec::Vec<crate::Value> {
        ::std::vec![crate::Value::from(flatten), crate::Value::from(fmt), crate::Value::from(from), crate::Value::from(from_failure), crate::Value::from(future), crate::Value::from(future_of_outcome), crate::Value::from(idempotent), crate::Value::from(implementation), crate::Value::from(into_rpc), ]
    }
    async fn m10(&self, _: &::oxlo::Context, keyword: i64, later: &str, marker: crate::Item, message: i64, method: &str, missing: crate::Item, module_of: i64, must_use: &str, namespace: crate::Item) -> ::std::vec::Vec<crate::Value> {
        ::std::vec![crate::Value::from(keyword), crate::Value::from(later), crate::Value::from(marker), crate::Value::from(message), crate::Value::from(method), crate::Value::from(missing), crate::Value::from(module_of), crate::Value::from(must_use), crate::Value::from(namespace), ]
    }
    async fn m11(&self, _: &::oxlo::Context, new: i64, non_camel_case_types: &str, non_snake_case: crate::Item, ops: i64, option: &str, or_else: crate::Item, outcome: i64, over: &str, overrides: crate::Item) -> ::std::vec::Vec<crate::Value> {
        ::std::vec![crate::Value::from(new), crate::Value::from(non_camel_case_types), crate::Value::from(non_snake_case), crate::Value::from(ops), crate::Value::from(option), crate::Value::from(or_else), crate::Value::from(outcome), crate::Value::from(over), crate::Value::from(overrides), ]
    }
    async fn m12(&self, _: &::oxlo::Context, oxlo: i64, oxlo_args: &str, oxlo_argument_0: crate::Item, oxlo_argument_1: i64, oxlo_argument_2: &str, oxlo_argument_3: crate::Item, oxlo_call: i64, oxlo_client: &str, oxlo_ctxt: crate::Item) -> ::std::vec::Vec<crate::Value> {
        ::std::vec![crate::Value::from(oxlo), crate::Value::from(oxlo_args), crate::Value::from(oxlo_argument_0), crate::Value::from(oxlo_argument_1), crate::Value::from(oxlo_argument_2), crate::Value::from(oxlo_argument_3), crate::Value::from(oxlo_call), crate::Value::from(oxlo_client), crate::Value::from(oxlo_ctxt), ]
    }
    async fn m13(&self, _: &::oxlo::Context, oxlo_endpoint: i64, oxlo_error: &str, oxlo_extracted_1: crate::Item, oxlo_failure: i64, oxlo_field_0: &str, oxlo_field_1: crate::Item, oxlo_formatter: i64, oxlo_served: &str, oxlo_states: crate::Item) -> ::std::vec::Vec<crate::Value> {
        ::std::vec![crate::Value::from(oxlo_endpoint), crate::Value::from(oxlo_error), crate::Value::from(oxlo_extracted_1), crate::Value::from(oxlo_failure), crate::Value::from(oxlo_field_0), crate::Value::from(oxlo_field_1), crate::Value::from(oxlo_formatter), crate::Value::from(oxlo_served), crate::Value::from(oxlo_states), ]
    }
    async fn m14(&self, _: &::oxlo::Context, oxlo_text: i64, oxlo_this: &str, oxlo_value: crate::Item, oxlo_version: i64, positional: &str, prepare: crate::Item, primitive: i64, refuse_rest: &str, remote: crate::Item) -> ::std::vec::Vec<crate::Value> {
        ::std::vec![crate::Value::from(oxlo_text), crate::Value::from(oxlo_this), crate::Value::from(oxlo_value), crate::Value::from(oxlo_version), crate::Value::from(positional), crate::Value::from(prepare), crate::Value::from(primitive), crate::Value::from(refuse_rest), crate::Value::from(remote), ]
    }
    async fn m15(&self, _: &::oxlo::Context, rename: i64, result: &str, rpc: crate::Item, serde: i64, served: &str, server: crate::Item, shared: i64, shared_endpoint: &str, skip_serializing_if: crate::Item) -> ::std::vec::Vec<crate::Value> {
        ::std::vec![crate::Value::from(rename), crate::Value::from(result), crate::Value::from(rpc), crate::Value::from(serde), crate::Value::from(served), crate::Value::from(server), crate::Value::from(shared), crate::Value::from(shared_endpoint), crate::Value::from(skip_serializing_if), ]
    }
    async fn m16(&self, _: &::oxlo::Context, start: i64, start_method: &str, std: crate::Item, str: i64, stringify: &str, sync: crate::Item, target: i64, text: &str, this: crate::Item) -> ::std::vec::Vec<crate::Value> {
        ::std::vec![crate::Value::from(start), crate::Value::from(start_method), crate::Value::from(std), crate::Value::from(str), crate::Value::from(stringify), crate::Value::from(sync), crate::Value::from(target), crate::Value::from(text), crate::Value::from(this), ]
    }
    async fn m17(&self, _: &::oxlo::Context, to_failure: i64, to_value: &str, too_many_arguments: crate::Item, transport: i64, u8: &str, unreachable_code: crate::Item, unused_imports: i64, value: &str, version: crate::Item) -> ::std::vec::Vec<crate::Value> {
        ::std::vec![crate::Value::from(to_failure), crate::Value::from(to_value), crate::Value::from(too_many_arguments), crate::Value::from(transport), crate::Value::from(u8), crate::Value::from(unreachable_code), crate::Value::from(unused_imports), crate::Value::from(value), crate::Value::from(version), ]
    }
    async fn m18(&self, _: &::oxlo::Context, with: i64, with_args: &str, with_kwarg: crate::Item) -> ::std::vec::Vec<crate::Value> {
        ::std::vec![crate::Value::from(with), crate::Value::from(with_args), crate::Value::from(with_kwarg), ]
    }
}

pub async fn call(
    client: &ArgumentsClient,
    context: &::oxlo::Context,
) -> ::std::result::Result<::std::vec::Vec<crate::Value>, ::oxlo::CallError> {
    let mut all = ::std::vec::Vec::new();
    all.extend(client.m0(context, crate::sent::<i64>("Arc"), crate::sent::<&str>("C"), crate::sent::<crate::Item>("CLASSES"), crate::sent::<i64>("Call"), crate::sent::<&str>("CallError"), crate::sent::<crate::Item>("Clone"), crate::sent::<i64>("Debug"), crate::sent::<&str>("DebugStruct"), crate::sent::<crate::Item>("Default")).await?);
    all.extend(client.m1(context, crate::sent::<i64>("Deserialize"), crate::sent::<&str>("Endpoint"), crate::sent::<crate::Item>("Fail"), crate::sent::<i64>("FailUndeclared"), crate::sent::<&str>("Failure"), crate::sent::<crate::Item>("FnOnce"), crate::sent::<i64>("Formatter"), crate::sent::<&str>("From"), crate::sent::<crate::Item>("Future")).await?);
    all.extend(client.m2(context, crate::sent::<i64>("MODULE"), crate::sent::<&str>("MethodError"), crate::sent::<crate::Item>("OTHER_CLASSES"), crate::sent::<i64>("Option"), crate::sent::<&str>("Output"), crate::sent::<crate::Item>("Owned"), crate::sent::<i64>("OxloArgs"), crate::sent::<&str>("OxloImplementor"), crate::sent::<crate::Item>("OxloRest")).await?);
    all.extend(client.m3(context, crate::sent::<i64>("OxloTypeA"), crate::sent::<&str>("PendingCall"), crate::sent::<crate::Item>("PendingMethod"), crate::sent::<i64>("RPCClient"), crate::sent::<&str>("RemoteError"), crate::sent::<crate::Item>("Rest"), crate::sent::<i64>("Result"), crate::sent::<&str>("Send"), crate::sent::<crate::Item>("Serialize")).await?);
    all.extend(client.m4(context, crate::sent::<i64>("Spec"), crate::sent::<&str>("Sync"), crate::sent::<crate::Item>("Target"), crate::sent::<i64>("ToOwned"), crate::sent::<&str>("Transport"), crate::sent::<crate::Item>("VERSION"), crate::sent::<i64>("__private"), crate::sent::<&str>("allow"), crate::sent::<crate::Item>("answer")).await?);
    all.extend(client.m5(context, crate::sent::<i64>("any_fields"), crate::sent::<&str>("args"), crate::sent::<crate::Item>("arguments"), crate::sent::<i64>("automatically_derived"), crate::sent::<&str>("blocking_method"), crate::sent::<crate::Item>("borrow"), crate::sent::<i64>("call"), crate::sent::<&str>("call_method"), crate::sent::<crate::Item>("can_send_version")).await?);
    all.extend(client.m6(context, crate::sent::<i64>("cast"), crate::sent::<&str>("check_error"), crate::sent::<crate::Item>("check_received"), crate::sent::<i64>("check_sent_and_received"), crate::sent::<&str>("class_of"), crate::sent::<crate::Item>("client"), crate::sent::<i64>("clippy"), crate::sent::<&str>("clone"), crate::sent::<crate::Item>("context")).await?);
    all.extend(client.m7(context, crate::sent::<i64>("convert"), crate::sent::<&str>("core"), crate::sent::<crate::Item>("ctxt"), crate::sent::<i64>("dead_code"), crate::sent::<&str>("debug_struct"), crate::sent::<crate::Item>("default"), crate::sent::<i64>("deny_unknown_fields"), crate::sent::<&str>("deprecated"), crate::sent::<crate::Item>("derive")).await?);
    all.extend(client.m8(context, crate::sent::<i64>("diverging_sub_expression"), crate::sent::<&str>("doc"), crate::sent::<crate::Item>("extract"), crate::sent::<i64>("extractor"), crate::sent::<&str>("fail"), crate::sent::<crate::Item>("failure"), crate::sent::<i64>("fanout"), crate::sent::<&str>("fields"), crate::sent::<crate::Item>("finish_non_exhaustive")).await?);
    all.extend(client.m9(context, crate::sent::<i64>("flatten"), crate::sent::<&str>("fmt"), crate::sent::<crate::Item>("from"), crate::sent::<i64>("from_failure"), crate::sent::<&str>("future"), crate::sent::<crate::Item>("future_of_outcome"), crate::sent::<i64>("idempotent"), crate::sent::<&str>("implementation"), crate::sent::<crate::Item>("into_rpc")).await?);
    all.extend(client.m10(context, crate::sent::<i64>("keyword"), crate::sent::<&str>("later"), crate::sent::<crate::Item>("marker"), crate::sent::<i64>("message"), crate::sent::<&str>("method"), crate::sent::<crate::Item>("missing"), crate::sent::<i64>("module_of"), crate::sent::<&str>("must_use"), crate::sent::<crate::Item>("namespace")).await?);
    all.extend(client.m11(context, crate::sent::<i64>("new"), crate::sent::<&str>("non_camel_case_types"), crate::sent::<crate::Item>("non_snake_case"), crate::sent::<i64>("ops"), crate::sent::<&str>("option"), crate::sent::<crate::Item>("or_else"), crate::sent::<i64>("outcome"), crate::sent::<&str>("over"), crate::sent::<crate::Item>("overrides")).await?);
    all.extend(client.m12(context, crate::sent::<i64>("oxlo"), crate::sent::<&str>("oxlo_args"), crate::sent::<crate::Item>("oxlo_argument_0"), crate::sent::<i64>("oxlo_argument_1"), crate::sent::<&str>("oxlo_argument_2"), crate::sent::<crate::Item>("oxlo_argument_3"), crate::sent::<i64>("oxlo_call"), crate::sent::<&str>("oxlo_client"), crate::sent::<crate::Item>("oxlo_ctxt")).await?);
    all.extend(client.m13(context, crate::sent::<i64>("oxlo_endpoint"), crate::sent::<&str>("oxlo_error"), crate::sent::<crate::Item>("oxlo_extracted_1"), crate::sent::<i64>("oxlo_failure"), crate::sent::<&str>("oxlo_field_0"), crate::sent::<crate::Item>("oxlo_field_1"), crate::sent::<i64>("oxlo_formatter"), crate::sent::<&str>("oxlo_served"), crate::sent::<crate::Item>("oxlo_states")).await?);
    all.extend(client.m14(context, crate::sent::<i64>("oxlo_text"), crate::sent::<&str>("oxlo_this"), crate::sent::<crate::Item>("oxlo_value"), crate::sent::<i64>("oxlo_version"), crate::sent::<&str>("positional"), crate::sent::<crate::Item>("prepare"), crate::sent::<i64>("primitive"), crate::sent::<&str>("refuse_rest"), crate::sent::<crate::Item>("remote")).await?);
    all.extend(client.m15(context, crate::sent::<i64>("rename"), crate::sent::<&str>("result"), crate::sent::<crate::Item>("rpc"), crate::sent::<i64>("serde"), crate::sent::<&str>("served"), crate::sent::<crate::Item>("server"), crate::sent::<i64>("shared"), crate::sent::<&str>("shared_endpoint"), crate::sent::<crate::Item>("skip_serializing_if")).await?);
    all.extend(client.m16(context, crate::sent::<i64>("start"), crate::sent::<&str>("start_method"), crate::sent::<crate::Item>("std"), crate::sent::<i64>("str"), crate::sent::<&str>("stringify"), crate::sent::<crate::Item>("sync"), crate::sent::<i64>("target"), crate::sent::<&str>("text"), crate::sent::<crate::Item>("this")).await?);
    all.extend(client.m17(context, crate::sent::<i64>("to_failure"), crate::sent::<&str>("to_value"), crate::sent::<crate::Item>("too_many_arguments"), crate::sent::<i64>("transport"), crate::sent::<&str>("u8"), crate::sent::<crate::Item>("unreachable_code"), crate::sent::<i64>("unused_imports"), crate::sent::<&str>("value"), crate::sent::<crate::Item>("version")).await?);
    all.extend(client.m18(context, crate::sent::<i64>("with"), crate::sent::<&str>("with_args"), crate::sent::<crate::Item>("with_kwarg")).await?);
    ::std::result::Result::Ok(all)
}

#[derive(Debug, PartialEq, ::oxlo::RemoteError)]
#[remote(module = "every.name")]
pub enum Fields {
    Part0 { Arc: i64, C: i64, CLASSES: i64, Call: i64, CallError: i64, Clone: i64, Debug: i64, DebugStruct: i64, Default: i64, Deserialize: i64, Endpoint: i64, Err: i64, },
    Part1 { Fail: i64, FailUndeclared: i64, Failure: i64, FnOnce: i64, Formatter: i64, From: i64, Future: i64, MODULE: i64, MethodError: i64, None: i64, OTHER_CLASSES: i64, Ok: i64, },
    Part2 { Option: i64, Output: i64, Owned: i64, OxloArgs: i64, OxloImplementor: i64, OxloRest: i64, OxloTypeA: i64, PendingCall: i64, PendingMethod: i64, RPCClient: i64, RemoteError: i64, Rest: i64, },
    Part3 { Result: i64, Send: i64, Serialize: i64, Some: i64, Spec: i64, Sync: i64, Target: i64, ToOwned: i64, Transport: i64, VERSION: i64, __private: i64, allow: i64, },
    Part4 { answer: i64, any_fields: i64, args: i64, arguments: i64, automatically_derived: i64, blocking_method: i64, borrow: i64, call: i64, call_method: i64, can_send_version: i64, cast: i64, check_error: i64, },
    Part5 { check_received: i64, check_sent_and_received: i64, class_of: i64, client: i64, clippy: i64, clone: i64, context: i64, convert: i64, core: i64, ctxt: i64, dead_code: i64, debug_struct: i64, },
    Part6 { default: i64, deny_unknown_fields: i64, deprecated: i64, derive: i64, diverging_sub_expression: i64, doc: i64, extract: i64, extractor: i64, fail: i64, failure: i64, fanout: i64, fields: i64, },
    Part7 { finish_non_exhaustive: i64, flatten: i64, fmt: i64, from: i64, from_failure: i64, future: i64, future_of_outcome: i64, idempotent: i64, implementation: i64, into_rpc: i64, keyword: i64, later: i64, },
    Part8 { marker: i64, message: i64, method: i64, missing: i64, module_of: i64, must_use: i64, namespace: i64, new: i64, non_camel_case_types: i64, non_snake_case: i64, ops: i64, option: i64, },
    Part9 { or_else: i64, outcome: i64, over: i64, overrides: i64, oxlo: i64, oxlo_args: i64, oxlo_argument_0: i64, oxlo_argument_1: i64, oxlo_argument_2: i64, oxlo_argument_3: i64, oxlo_call: i64, oxlo_client: i64, },
    Part10 { oxlo_ctxt: i64, oxlo_endpoint: i64, oxlo_error: i64, oxlo_extracted_1: i64, oxlo_failure: i64, oxlo_field_0: i64, oxlo_field_1: i64, oxlo_formatter: i64, oxlo_served: i64, oxlo_states: i64, oxlo_text: i64, oxlo_this: i64, },
    Part11 { oxlo_value: i64, oxlo_version: i64, positional: i64, prepare: i64, primitive: i64, refuse_rest: i64, remote: i64, rename: i64, result: i64, rpc: i64, serde: i64, served: i64, },
    Part12 { server: i64, shared: i64, shared_endpoint: i64, skip_serializing_if: i64, start: i64, start_method: i64, std: i64, str: i64, stringify: i64, sync: i64, target: i64, text: i64, },
    Part13 { this: i64, to_failure: i64, to_value: i64, too_many_arguments: i64, transport: i64, u8: i64, unreachable_code: i64, unused_imports: i64, value: i64, version: i64, with: i64, with_args: i64, },
    Part14 { with_kwarg: i64, },
}

pub fn fields() -> ::std::vec::Vec<Fields> {
    ::std::vec![
        Fields::Part0 { Arc: crate::sent::<i64>("Arc"), C: crate::sent::<i64>("C"), CLASSES: crate::sent::<i64>("CLASSES"), Call: crate::sent::<i64>("Call"), CallError: crate::sent::<i64>("CallError"), Clone: crate::sent::<i64>("Clone"), Debug: crate::sent::<i64>("Debug"), DebugStruct: crate::sent::<i64>("DebugStruct"), Default: crate::sent::<i64>("Default"), Deserialize: crate::sent::<i64>("Deserialize"), Endpoint: crate::sent::<i64>("Endpoint"), Err: crate::sent::<i64>("Err"), },
        Fields::Part1 { Fail: crate::sent::<i64>("Fail"), FailUndeclared: crate::sent::<i64>("FailUndeclared"), Failure: crate::sent::<i64>("Failure"), FnOnce: crate::sent::<i64>("FnOnce"), Formatter: crate::sent::<i64>("Formatter"), From: crate::sent::<i64>("From"), Future: crate::sent::<i64>("Future"), MODULE: crate::sent::<i64>("MODULE"), MethodError: crate::sent::<i64>("MethodError"), None: crate::sent::<i64>("None"), OTHER_CLASSES: crate::sent::<i64>("OTHER_CLASSES"), Ok: crate::sent::<i64>("Ok"), },
        Fields::Part2 { Option: crate::sent::<i64>("Option"), Output: crate::sent::<i64>("Output"), Owned: crate::sent::<i64>("Owned"), OxloArgs: crate::sent::<i64>("OxloArgs"), OxloImplementor: crate::sent::<i64>("OxloImplementor"), OxloRest: crate::sent::<i64>("OxloRest"), OxloTypeA: crate::sent::<i64>("OxloTypeA"), PendingCall: crate::sent::<i64>("PendingCall"), PendingMethod: crate::sent::<i64>("PendingMethod"), RPCClient: crate::sent::<i64>("RPCClient"), RemoteError: crate::sent::<i64>("RemoteError"), Rest: crate::sent::<i64>("Rest"), },
        Fields::Part3 { Result: crate::sent::<i64>("Result"), Send: crate::sent::<i64>("Send"), Serialize: crate::sent::<i64>("Serialize"), Some: crate::sent::<i64>("Some"), Spec: crate::sent::<i64>("Spec"), Sync: crate::sent::<i64>("Sync"), Target: crate::sent::<i64>("Target"), ToOwned: crate::sent::<i64>("ToOwned"), Transport: crate::sent::<i64>("Transport"), VERSION: crate::sent::<i64>("VERSION"), __private: crate::sent::<i64>("__private"), allow: crate::sent::<i64>("allow"), },
        Fields::Part4 { answer: crate::sent::<i64>("answer"), any_fields: crate::sent::<i64>("any_fields"), args: crate::sent::<i64>("args"), arguments: crate::sent::<i64>("arguments"), automatically_derived: crate::sent::<i64>("automatically_derived"), blocking_method: crate::sent::<i64>("blocking_method"), borrow: crate::sent::<i64>("borrow"), call: crate::sent::<i64>("call"), call_method: crate::sent::<i64>("call_method"), can_send_version: crate::sent::<i64>("can_send_version"), cast: crate::sent::<i64>("cast"), check_error: crate::sent::<i64>("check_error"), },
        Fields::Part5 { check_received: crate::sent::<i64>("check_received"), check_sent_and_received: crate::sent::<i64>("check_sent_and_received"), class_of: crate::sent::<i64>("class_of"), client: crate::sent::<i64>("client"), clippy: crate::sent::<i64>("clippy"), clone: crate::sent::<i64>("clone"), context: crate::sent::<i64>("context"), convert: crate::sent::<i64>("convert"), core: crate::sent::<i64>("core"), ctxt: crate::sent::<i64>("ctxt"), dead_code: crate::sent::<i64>("dead_code"), debug_struct: crate::sent::<i64>("debug_struct"), },
        Fields::Part6 { default: crate::sent::<i64>("default"), deny_unknown_fields: crate::sent::<i64>("deny_unknown_fields"), deprecated: crate::sent::<i64>("deprecated"), derive: crate::sent::<i64>("derive"), diverging_sub_expression: crate::sent::<i64>("diverging_sub_expression"), doc: crate::sent::<i64>("doc"), extract: crate::sent::<i64>("extract"), extractor: crate::sent::<i64>("extractor"), fail: crate::sent::<i64>("fail"), failure: crate::sent::<i64>("failure"), fanout: crate::sent::<i64>("fanout"), fields: crate::sent::<i64>("fields"), },
        Fields::Part7 { finish_non_exhaustive: crate::sent::<i64>("finish_non_exhaustive"), flatten: crate::sent::<i64>("flatten"), fmt: crate::sent::<i64>("fmt"), from: crate::sent::<i64>("from"), from_failure: crate::sent::<i64>("from_failure"), future: crate::sent::<i64>("future"), future_of_outcome: crate::sent::<i64>("future_of_outcome"), idempotent: crate::sent::<i64>("idempotent"), implementation: crate::sent::<i64>("implementation"), into_rpc: crate::sent::<i64>("into_rpc"), keyword: crate::sent::<i64>("keyword"), later: crate::sent::<i64>("later"), },
        Fields::Part8 { marker: crate::sent::<i64>("marker"), message: crate::sent::<i64>("message"), method: crate::sent::<i64>("method"), missing: crate::sent::<i64>("missing"), module_of: crate::sent::<i64>("module_of"), must_use: crate::sent::<i64>("must_use"), namespace: crate::sent::<i64>("namespace"), new: crate::sent::<i64>("new"), non_camel_case_types: crate::sent::<i64>("non_camel_case_types"), non_snake_case: crate::sent::<i64>("non_snake_case"), ops: crate::sent::<i64>("ops"), option: crate::sent::<i64>("option"), },
        Fields::Part9 { or_else: crate::sent::<i64>("or_else"), outcome: crate::sent::<i64>("outcome"), over: crate::sent::<i64>("over"), overrides: crate::sent::<i64>("overrides"), oxlo: crate::sent::<i64>("oxlo"), oxlo_args: crate::sent::<i64>("oxlo_args"), oxlo_argument_0: crate::sent::<i64>("oxlo_argument_0"), oxlo_argument_1: crate::sent::<i64>("oxlo_argument_1"), oxlo_argument_2: crate::sent::<i64>("oxlo_argument_2"), oxlo_argument_3: crate::sent::<i64>("oxlo_argument_3"), oxlo_call: crate::sent::<i64>("oxlo_call"), oxlo_client: crate::sent::<i64>("oxlo_client"), },
        Fields::Part10 { oxlo_ctxt: crate::sent::<i64>("oxlo_ctxt"), oxlo_endpoint: crate::sent::<i64>("oxlo_endpoint"), oxlo_error: crate::sent::<i64>("oxlo_error"), oxlo_extracted_1: crate::sent::<i64>("oxlo_extracted_1"), oxlo_failure: crate::sent::<i64>("oxlo_failure"), oxlo_field_0: crate::sent::<i64>("oxlo_field_0"), oxlo_field_1: crate::sent::<i64>("oxlo_field_1"), oxlo_formatter: crate::sent::<i64>("oxlo_formatter"), oxlo_served: crate::sent::<i64>("oxlo_served"), oxlo_states: crate::sent::<i64>("oxlo_states"), oxlo_text: crate::sent::<i64>("oxlo_text"), oxlo_this: crate::sent::<i64>("oxlo_this"), },
        Fields::Part11 { oxlo_value: crate::sent::<i64>("oxlo_value"), oxlo_version: crate::sent::<i64>("oxlo_version"), positional: crate::sent::<i64>("positional"), prepare: crate::sent::<i64>("prepare"), primitive: crate::sent::<i64>("primitive"), refuse_rest: crate::sent::<i64>("refuse_rest"), remote: crate::sent::<i64>("remote"), rename: crate::sent::<i64>("rename"), result: crate::sent::<i64>("result"), rpc: crate::sent::<i64>("rpc"), serde: crate::sent::<i64>("serde"), served: crate::sent::<i64>("served"), },
        Fields::Part12 { server: crate::sent::<i64>("server"), shared: crate::sent::<i64>("shared"), shared_endpoint: crate::sent::<i64>("shared_endpoint"), skip_serializing_if: crate::sent::<i64>("skip_serializing_if"), start: crate::sent::<i64>("start"), start_method: crate::sent::<i64>("start_method"), std: crate::sent::<i64>("std"), str: crate::sent::<i64>("str"), stringify: crate::sent::<i64>("stringify"), sync: crate::sent::<i64>("sync"), target: crate::sent::<i64>("target"), text: crate::sent::<i64>("text"), },
        Fields::Part13 { this: crate::sent::<i64>("this"), to_failure: crate::sent::<i64>("to_failure"), to_value: crate::sent::<i64>("to_value"), too_many_arguments: crate::sent::<i64>("too_many_arguments"), transport: crate::sent::<i64>("transport"), u8: crate::sent::<i64>("u8"), unreachable_code: crate::sent::<i64>("unreachable_code"), unused_imports: crate::sent::<i64>("unused_imports"), value: crate::sent::<i64>("value"), version: crate::sent::<i64>("version"), with: crate::sent::<i64>("with"), with_args: crate::sent::<i64>("with_args"), },
        Fields::Part14 { with_kwarg: crate::sent::<i64>("with_kwarg"), },
    ]
}

#[derive(Debug, PartialEq, ::oxlo::RemoteError)]
#[remote(module = "every.name")]
pub enum Variants {
    Arc,
    C,
    CLASSES,
    Call,
    CallError,
    Clone,
    Debug,
    DebugStruct,
    Default,
    Deserialize,
    Endpoint,
    Err,
    Fail,
    FailUndeclared,
    Failure,
    FnOnce,
    Formatter,
    From,
    Future,
    MODULE,
    MethodError,
    None,
    OTHER_CLASSES,
    Ok,
    Option,
    Output,
    Owned,
    OxloArgs,
    OxloImplementor,
    OxloRest,
    OxloTypeA,
    PendingCall,
    PendingMethod,
    RPCClient,
    RemoteError,
    Rest,
    Result,
    Send,
    Serialize,
    Some,
    Spec,
    Sync,
    Target,
    ToOwned,
    Transport,
    VERSION,
    __private,
    allow,
    answer,
    any_fields,
    args,
    arguments,
    automatically_derived,
    blocking_method,
    borrow,
    call,
    call_method,
    can_send_version,
    cast,
    check_error,
    check_received,
    check_sent_and_received,
    class_of,
    client,
    clippy,
    clone,
    context,
    convert,
    core,
    ctxt,
    dead_code,
    debug_struct,
    default,
    deny_unknown_fields,
    deprecated,
    derive,
    diverging_sub_expression,
    doc,
    extract,
    extractor,
    fail,
    failure,
    fanout,
    fields,
    finish_non_exhaustive,
    flatten,
    fmt,
    from,
    from_failure,
    future,
    future_of_outcome,
    idempotent,
    implementation,
    into_rpc,
    keyword,
    later,
    marker,
    message,
    method,
    missing,
    module_of,
    must_use,
    namespace,
    new,
    non_camel_case_types,
    non_snake_case,
    ops,
    option,
    or_else,
    outcome,
    over,
    overrides,
    oxlo,
    oxlo_args,
    oxlo_argument_0,
    oxlo_argument_1,
    oxlo_argument_2,
    oxlo_argument_3,
    oxlo_call,
    oxlo_client,
    oxlo_ctxt,
    oxlo_endpoint,
    oxlo_error,
    oxlo_extracted_1,
    oxlo_failure,
    oxlo_field_0,
    oxlo_field_1,
    oxlo_formatter,
    oxlo_served,
    oxlo_states,
    oxlo_text,
    oxlo_this,
    oxlo_value,
    oxlo_version,
    positional,
    prepare,
    primitive,
    refuse_rest,
    remote,
    rename,
    result,
    rpc,
    serde,
    served,
    server,
    shared,
    shared_endpoint,
    skip_serializing_if,
    start,
    start_method,
    std,
    str,
    stringify,
    sync,
    target,
    text,
    this,
    to_failure,
    to_value,
    too_many_arguments,
    transport,
    u8,
    unreachable_code,
    unused_imports,
    value,
    version,
    with,
    with_args,
    with_kwarg,
}

pub fn variants() -> ::std::vec::Vec<Variants> {
    ::std::vec![
        Variants::Arc,
        Variants::C,
        Variants::CLASSES,
        Variants::Call,
        Variants::CallError,
        Variants::Clone,
        Variants::Debug,
        Variants::DebugStruct,
        Variants::Default,
        Variants::Deserialize,
        Variants::Endpoint,
        Variants::Err,
        Variants::Fail,
        Variants::FailUndeclared,
        Variants::Failure,
        Variants::FnOnce,
        Variants::Formatter,
        Variants::From,
        Variants::Future,
        Variants::MODULE,
        Variants::MethodError,
        Variants::None,
        Variants::OTHER_CLASSES,
        Variants::Ok,
        Variants::Option,
        Variants::Output,
        Variants::Owned,
        Variants::OxloArgs,
        Variants::OxloImplementor,
        Variants::OxloRest,
        Variants::OxloTypeA,
        Variants::PendingCall,
        Variants::PendingMethod,
        Variants::RPCClient,
        Variants::RemoteError,
        Variants::Rest,
        Variants::Result,
        Variants::Send,
        Variants::Serialize,
        Variants::Some,
        Variants::Spec,
        Variants::Sync,
        Variants::Target,
        Variants::ToOwned,
        Variants::Transport,
        Variants::VERSION,
        Variants::__private,
        Variants::allow,
        Variants::answer,
        Variants::any_fields,
        Variants::args,
        Variants::arguments,
        Variants::automatically_derived,
        Variants::blocking_method,
        Variants::borrow,
        Variants::call,
        Variants::call_method,
        Variants::can_send_version,
        Variants::cast,
        Variants::check_error,
        Variants::check_received,
        Variants::check_sent_and_received,
        Variants::class_of,
        Variants::client,
        Variants::clippy,
        Variants::clone,
        Variants::context,
        Variants::convert,
        Variants::core,
        Variants::ctxt,
        Variants::dead_code,
        Variants::debug_struct,
        Variants::default,
        Variants::deny_unknown_fields,
        Variants::deprecated,
        Variants::derive,
        Variants::diverging_sub_expression,
        Variants::doc,
        Variants::extract,
        Variants::extractor,
        Variants::fail,
        Variants::failure,
        Variants::fanout,
        Variants::fields,
        Variants::finish_non_exhaustive,
        Variants::flatten,
        Variants::fmt,
        Variants::from,
        Variants::from_failure,
        Variants::future,
        Variants::future_of_outcome,
        Variants::idempotent,
        Variants::implementation,
        Variants::into_rpc,
        Variants::keyword,
        Variants::later,
        Variants::marker,
        Variants::message,
        Variants::method,
        Variants::missing,
        Variants::module_of,
        Variants::must_use,
        Variants::namespace,
        Variants::new,
        Variants::non_camel_case_types,
        Variants::non_snake_case,
        Variants::ops,
        Variants::option,
        Variants::or_else,
        Variants::outcome,
        Variants::over,
        Variants::overrides,
        Variants::oxlo,
        Variants::oxlo_args,
        Variants::oxlo_argument_0,
        Variants::oxlo_argument_1,
        Variants::oxlo_argument_2,
        Variants::oxlo_argument_3,
        Variants::oxlo_call,
        Variants::oxlo_client,
        Variants::oxlo_ctxt,
        Variants::oxlo_endpoint,
        Variants::oxlo_error,
        Variants::oxlo_extracted_1,
        Variants::oxlo_failure,
        Variants::oxlo_field_0,
        Variants::oxlo_field_1,
        Variants::oxlo_formatter,
        Variants::oxlo_served,
        Variants::oxlo_states,
        Variants::oxlo_text,
        Variants::oxlo_this,
        Variants::oxlo_value,
        Variants::oxlo_version,
        Variants::positional,
        Variants::prepare,
        Variants::primitive,
        Variants::refuse_rest,
        Variants::remote,
        Variants::rename,
        Variants::result,
        Variants::rpc,
        Variants::serde,
        Variants::served,
        Variants::server,
        Variants::shared,
        Variants::shared_endpoint,
        Variants::skip_serializing_if,
        Variants::start,
        Variants::start_method,
        Variants::std,
        Variants::str,
        Variants::stringify,
        Variants::sync,
        Variants::target,
        Variants::text,
        Variants::this,
        Variants::to_failure,
        Variants::to_value,
        Variants::too_many_arguments,
        Variants::transport,
        Variants::u8,
        Variants::unreachable_code,
        Variants::unused_imports,
        Variants::value,
        Variants::version,
        Variants::with,
        Variants::with_args,
        Variants::with_kwarg,
    ]
}

#[::oxlo::contract(version = "1.0")]
pub trait Methods0 {
    #[rpc(cast)]
    async fn Arc(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn C(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn CLASSES(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn Call(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn CallError(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn Clone(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn Debug(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn DebugStruct(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn Default(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn Deserialize(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn Endpoint(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn Err(&self, _: &::oxlo::Context);
}

#[::oxlo::contract(version = "1.0")]
pub trait Methods1 {
    #[rpc(cast)]
    async fn Fail(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn FailUndeclared(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn Failure(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn FnOnce(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn Formatter(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn From(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn Future(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn MODULE(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn MethodError(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn None(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn OTHER_CLASSES(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn Ok(&self, _: &::oxlo::Context);
}

#[::oxlo::contract(version = "1.0")]
pub trait Methods2 {
    #[rpc(cast)]
    async fn Option(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn Output(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn Owned(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn OxloArgs(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn OxloImplementor(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn OxloRest(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn OxloTypeA(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn PendingCall(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn PendingMethod(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn RPCClient(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn RemoteError(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn Rest(&self, _: &::oxlo::Context);
}

#[::oxlo::contract(version = "1.0")]
pub trait Methods3 {
    #[rpc(cast)]
    async fn Result(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn Send(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn Serialize(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn Some(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn Spec(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn Sync(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn Target(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn ToOwned(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn Transport(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn __private(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn allow(&self, _: &::oxlo::Context);
}

#[::oxlo::contract(version = "1.0")]
pub trait Methods4 {
    #[rpc(cast)]
    async fn answer(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn any_fields(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn args(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn arguments(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn automatically_derived(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn blocking_method(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn borrow(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn call(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn call_method(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn can_send_version(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn cast(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn check_error(&self, _: &::oxlo::Context);
}

#[::oxlo::contract(version = "1.0")]
pub trait Methods5 {
    #[rpc(cast)]
    async fn check_received(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn check_sent_and_received(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn class_of(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn client(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn clippy(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn clone(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn context(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn convert(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn core(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn ctxt(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn dead_code(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn debug_struct(&self, _: &::oxlo::Context);
}

#[::oxlo::contract(version = "1.0")]
pub trait Methods6 {
    #[rpc(cast)]
    async fn default(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn deny_unknown_fields(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn deprecated(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn derive(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn diverging_sub_expression(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn doc(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn extract(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn extractor(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn fail(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn failure(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn fanout(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn fields(&self, _: &::oxlo::Context);
}

#[::oxlo::contract(version = "1.0")]
pub trait Methods7 {
    #[rpc(cast)]
    async fn finish_non_exhaustive(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn flatten(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn fmt(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn from(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn from_failure(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn future(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn future_of_outcome(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn idempotent(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn implementation(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn keyword(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn later(&self, _: &::oxlo::Context);
}

#[::oxlo::contract(version = "1.0")]
pub trait Methods8 {
    #[rpc(cast)]
    async fn marker(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn message(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn method(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn missing(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn module_of(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn must_use(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn namespace(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn non_camel_case_types(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn non_snake_case(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn ops(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn option(&self, _: &::oxlo::Context);
}

#[::oxlo::contract(version = "1.0")]
pub trait Methods9 {
    #[rpc(cast)]
    async fn or_else(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn outcome(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn overrides(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn oxlo(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn oxlo_args(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn oxlo_argument_0(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn oxlo_argument_1(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn oxlo_argument_2(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn oxlo_argument_3(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn oxlo_call(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn oxlo_client(&self, _: &::oxlo::Context);
}

#[::oxlo::contract(version = "1.0")]
pub trait Methods10 {
    #[rpc(cast)]
    async fn oxlo_ctxt(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn oxlo_endpoint(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn oxlo_error(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn oxlo_extracted_1(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn oxlo_failure(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn oxlo_field_0(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn oxlo_field_1(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn oxlo_formatter(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn oxlo_served(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn oxlo_states(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn oxlo_text(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn oxlo_this(&self, _: &::oxlo::Context);
}

#[::oxlo::contract(version = "1.0")]
pub trait Methods11 {
    #[rpc(cast)]
    async fn oxlo_value(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn oxlo_version(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn positional(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn primitive(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn refuse_rest(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn remote(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn rename(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn result(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn serde(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn served(&self, _: &::oxlo::Context);
}

#[::oxlo::contract(version = "1.0")]
pub trait Methods12 {
    #[rpc(cast)]
    async fn server(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn shared(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn shared_endpoint(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn skip_serializing_if(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn start(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn start_method(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn std(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn str(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn stringify(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn sync(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn target(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn text(&self, _: &::oxlo::Context);
}

#[::oxlo::contract(version = "1.0")]
pub trait Methods13 {
    #[rpc(cast)]
    async fn this(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn to_failure(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn to_value(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn too_many_arguments(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn transport(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn u8(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn unreachable_code(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn unused_imports(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn value(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn version(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn with(&self, _: &::oxlo::Context);
    #[rpc(cast)]
    async fn with_args(&self, _: &::oxlo::Context);
}

#[::oxlo::contract(version = "1.0")]
pub trait Methods14 {
    #[rpc(cast)]
    async fn with_kwarg(&self, _: &::oxlo::Context);
}

pub mod types {
    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct Arc {}
    crate::error_of! { Arc }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct C {}
    crate::error_of! { C }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct CLASSES {}
    crate::error_of! { CLASSES }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct Call {}
    crate::error_of! { Call }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct CallError {}
    crate::error_of! { CallError }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct Clone {}
    crate::error_of! { Clone }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct Debug {}
    crate::error_of! { Debug }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct DebugStruct {}
    crate::error_of! { DebugStruct }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct Default {}
    crate::error_of! { Default }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct Deserialize {}
    crate::error_of! { Deserialize }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct Endpoint {}
    crate::error_of! { Endpoint }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct Err {}
    crate::error_of! { Err }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct Fail {}
    crate::error_of! { Fail }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct FailUndeclared {}
    crate::error_of! { FailUndeclared }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct Failure {}
    crate::error_of! { Failure }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct FnOnce {}
    crate::error_of! { FnOnce }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct Formatter {}
    crate::error_of! { Formatter }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct From {}
    crate::error_of! { From }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct Future {}
    crate::error_of! { Future }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct MODULE {}
    crate::error_of! { MODULE }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct MethodError {}
    crate::error_of! { MethodError }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct None {}
    crate::error_of! { None }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct OTHER_CLASSES {}
    crate::error_of! { OTHER_CLASSES }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct Ok {}
    crate::error_of! { Ok }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct Option {}
    crate::error_of! { Option }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct Output {}
    crate::error_of! { Output }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct Owned {}
    crate::error_of! { Owned }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct OxloArgs {}
    crate::error_of! { OxloArgs }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct OxloImplementor {}
    crate::error_of! { OxloImplementor }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct OxloRest {}
    crate::error_of! { OxloRest }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct OxloTypeA {}
    crate::error_of! { OxloTypeA }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct PendingCall {}
    crate::error_of! { PendingCall }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct PendingMethod {}
    crate::error_of! { PendingMethod }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct RPCClient {}
    crate::error_of! { RPCClient }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct RemoteError {}
    crate::error_of! { RemoteError }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct Rest {}
    crate::error_of! { Rest }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct Result {}
    crate::error_of! { Result }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct Send {}
    crate::error_of! { Send }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct Serialize {}
    crate::error_of! { Serialize }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct Some {}
    crate::error_of! { Some }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct Spec {}
    crate::error_of! { Spec }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct Sync {}
    crate::error_of! { Sync }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct Target {}
    crate::error_of! { Target }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct ToOwned {}
    crate::error_of! { ToOwned }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct Transport {}
    crate::error_of! { Transport }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct VERSION {}
    crate::error_of! { VERSION }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct __private {}
    crate::error_of! { __private }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct allow {}
    crate::error_of! { allow }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct answer {}
    crate::error_of! { answer }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct any_fields {}
    crate::error_of! { any_fields }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct args {}
    crate::error_of! { args }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct arguments {}
    crate::error_of! { arguments }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct automatically_derived {}
    crate::error_of! { automatically_derived }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct blocking_method {}
    crate::error_of! { blocking_method }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct borrow {}
    crate::error_of! { borrow }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct call {}
    crate::error_of! { call }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct call_method {}
    crate::error_of! { call_method }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct can_send_version {}
    crate::error_of! { can_send_version }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct cast {}
    crate::error_of! { cast }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct check_error {}
    crate::error_of! { check_error }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct check_received {}
    crate::error_of! { check_received }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct check_sent_and_received {}
    crate::error_of! { check_sent_and_received }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct class_of {}
    crate::error_of! { class_of }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct client {}
    crate::error_of! { client }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct clippy {}
    crate::error_of! { clippy }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct clone {}
    crate::error_of! { clone }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct context {}
    crate::error_of! { context }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct convert {}
    crate::error_of! { convert }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct core {}
    crate::error_of! { core }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct ctxt {}
    crate::error_of! { ctxt }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct dead_code {}
    crate::error_of! { dead_code }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct debug_struct {}
    crate::error_of! { debug_struct }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct default {}
    crate::error_of! { default }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct deny_unknown_fields {}
    crate::error_of! { deny_unknown_fields }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct deprecated {}
    crate::error_of! { deprecated }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct derive {}
    crate::error_of! { derive }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct diverging_sub_expression {}
    crate::error_of! { diverging_sub_expression }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct doc {}
    crate::error_of! { doc }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct extract {}
    crate::error_of! { extract }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct extractor {}
    crate::error_of! { extractor }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct fail {}
    crate::error_of! { fail }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct failure {}
    crate::error_of! { failure }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct fanout {}
    crate::error_of! { fanout }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct fields {}
    crate::error_of! { fields }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct finish_non_exhaustive {}
    crate::error_of! { finish_non_exhaustive }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct flatten {}
    crate::error_of! { flatten }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct fmt {}
    crate::error_of! { fmt }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct from {}
    crate::error_of! { from }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct from_failure {}
    crate::error_of! { from_failure }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct future {}
    crate::error_of! { future }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct future_of_outcome {}
    crate::error_of! { future_of_outcome }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct idempotent {}
    crate::error_of! { idempotent }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct implementation {}
    crate::error_of! { implementation }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct into_rpc {}
    crate::error_of! { into_rpc }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct keyword {}
    crate::error_of! { keyword }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct later {}
    crate::error_of! { later }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct marker {}
    crate::error_of! { marker }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct message {}
    crate::error_of! { message }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct method {}
    crate::error_of! { method }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct missing {}
    crate::error_of! { missing }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct module_of {}
    crate::error_of! { module_of }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct must_use {}
    crate::error_of! { must_use }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct namespace {}
    crate::error_of! { namespace }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct new {}
    crate::error_of! { new }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct non_camel_case_types {}
    crate::error_of! { non_camel_case_types }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct non_snake_case {}
    crate::error_of! { non_snake_case }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct ops {}
    crate::error_of! { ops }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct option {}
    crate::error_of! { option }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct or_else {}
    crate::error_of! { or_else }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct outcome {}
    crate::error_of! { outcome }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct over {}
    crate::error_of! { over }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct overrides {}
    crate::error_of! { overrides }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct oxlo {}
    crate::error_of! { oxlo }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct oxlo_args {}
    crate::error_of! { oxlo_args }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct oxlo_argument_0 {}
    crate::error_of! { oxlo_argument_0 }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct oxlo_argument_1 {}
    crate::error_of! { oxlo_argument_1 }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct oxlo_argument_2 {}
    crate::error_of! { oxlo_argument_2 }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct oxlo_argument_3 {}
    crate::error_of! { oxlo_argument_3 }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct oxlo_call {}
    crate::error_of! { oxlo_call }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct oxlo_client {}
    crate::error_of! { oxlo_client }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct oxlo_ctxt {}
    crate::error_of! { oxlo_ctxt }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct oxlo_endpoint {}
    crate::error_of! { oxlo_endpoint }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct oxlo_error {}
    crate::error_of! { oxlo_error }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct oxlo_extracted_1 {}
    crate::error_of! { oxlo_extracted_1 }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct oxlo_failure {}
    crate::error_of! { oxlo_failure }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct oxlo_field_0 {}
    crate::error_of! { oxlo_field_0 }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct oxlo_field_1 {}
    crate::error_of! { oxlo_field_1 }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct oxlo_formatter {}
    crate::error_of! { oxlo_formatter }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct oxlo_served {}
    crate::error_of! { oxlo_served }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct oxlo_states {}
    crate::error_of! { oxlo_states }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct oxlo_text {}
    crate::error_of! { oxlo_text }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct oxlo_this {}
    crate::error_of! { oxlo_this }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct oxlo_value {}
    crate::error_of! { oxlo_value }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct oxlo_version {}
    crate::error_of! { oxlo_version }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct positional {}
    crate::error_of! { positional }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct prepare {}
    crate::error_of! { prepare }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct primitive {}
    crate::error_of! { primitive }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct refuse_rest {}
    crate::error_of! { refuse_rest }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct remote {}
    crate::error_of! { remote }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct rename {}
    crate::error_of! { rename }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct result {}
    crate::error_of! { result }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct rpc {}
    crate::error_of! { rpc }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct serde {}
    crate::error_of! { serde }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct served {}
    crate::error_of! { served }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct server {}
    crate::error_of! { server }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct shared {}
    crate::error_of! { shared }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct shared_endpoint {}
    crate::error_of! { shared_endpoint }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct skip_serializing_if {}
    crate::error_of! { skip_serializing_if }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct start {}
    crate::error_of! { start }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct start_method {}
    crate::error_of! { start_method }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct std {}
    crate::error_of! { std }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct stringify {}
    crate::error_of! { stringify }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct sync {}
    crate::error_of! { sync }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct target {}
    crate::error_of! { target }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct text {}
    crate::error_of! { text }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct this {}
    crate::error_of! { this }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct to_failure {}
    crate::error_of! { to_failure }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct to_value {}
    crate::error_of! { to_value }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct too_many_arguments {}
    crate::error_of! { too_many_arguments }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct transport {}
    crate::error_of! { transport }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct unreachable_code {}
    crate::error_of! { unreachable_code }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct unused_imports {}
    crate::error_of! { unused_imports }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct value {}
    crate::error_of! { value }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct version {}
    crate::error_of! { version }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct with {}
    crate::error_of! { with }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct with_args {}
    crate::error_of! { with_args }

    #[derive(
        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, ::serde::Deserialize,
    )]
    pub struct with_kwarg {}
    crate::error_of! { with_kwarg }

    #[::oxlo::contract(version = "1.0")]
    pub trait TypesOfArguments {
        async fn m0(&self, _: &::oxlo::Context, a: Arc, b: C, c: CLASSES, d: Call, e: CallError, f: Clone, g: Debug, h: DebugStruct)
        -> ::std::result::Result<Arc, DebugStruct>;
        async fn m1(&self, _: &::oxlo::Context, a: Default, b: Deserialize, c: Endpoint, d: Err, e: Fail, f: FailUndeclared, g: Failure, h: FnOnce)
        -> ::std::result::Result<Default, FnOnce>;
        async fn m2(&self, _: &::oxlo::Context, a: Formatter, b: From, c: Future, d: MODULE, e: MethodError, f: None, g: OTHER_CLASSES, h: Ok)
        -> ::std::result::Result<Formatter, Ok>;
        async fn m3(&self, _: &::oxlo::Context, a: Option, b: Output, c: Owned, d: OxloArgs, e: OxloImplementor, f: OxloRest, g: OxloTypeA, h: PendingCall)
        -> ::std::result::Result<Option, PendingCall>;
        async fn m4(&self, _: &::oxlo::Context, a: PendingMethod, b: RPCClient, c: RemoteError, d: Rest, e: Result, f: Send, g: Serialize, h: Some)
        -> ::std::result::Result<PendingMethod, Some>;
        async fn m5(&self, _: &::oxlo::Context, a: Spec, b: Sync, c: Target, d: ToOwned, e: Transport, f: VERSION, g: __private, h: allow)
        -> ::std::result::Result<Spec, allow>;
        async fn m6(&self, _: &::oxlo::Context, a: answer, b: any_fields, c: args, d: arguments, e: automatically_derived, f: blocking_method, g: borrow, h: call)
        -> ::std::result::Result<answer, call>;
        async fn m7(&self, _: &::oxlo::Context, a: call_method, b: can_send_version, c: cast, d: check_error, e: check_received, f: check_sent_and_received, g: class_of, h: client)
        -> ::std::result::Result<call_method, client>;
        async fn m8(&self, _: &::oxlo::Context, a: clippy, b: clone, c: context, d: convert, e: core, f: ctxt, g: dead_code, h: debug_struct)
        -> ::std::result::Result<clippy, debug_struct>;
        async fn m9(&self, _: &::oxlo::Context, a: default, b: deny_unknown_fields, c: deprecated, d: derive, e: diverging_sub_expression, f: doc, g: extract, h: extractor)
        -> ::std::result::Result<default, extractor>;
        async fn m10(&self, _: &::oxlo::Context, a: fail, b: failure, c: fanout, d: fields, e: finish_non_exhaustive, f: flatten, g: fmt, h: from)
        -> ::std::result::Result<fail, from>;
        async fn m11(&self, _: &::oxlo::Context, a: from_failure, b: future, c: future_of_outcome, d: idempotent, e: implementation, f: into_rpc, g: keyword, h: later)
        -> ::std::result::Result<from_failure, later>;
        async fn m12(&self, _: &::oxlo::Context, a: marker, b: message, c: method, d: missing, e: module_of, f: must_use, g: namespace, h: new)
        -> ::std::result::Result<marker, new>;
        async fn m13(&self, _: &::oxlo::Context, a: non_camel_case_types, b: non_snake_case, c: ops, d: option, e: or_else, f: outcome, g: over, h: overrides)
        -> ::std::result::Result<non_camel_case_types, overrides>;
        async fn m14(&self, _: &::oxlo::Context, a: oxlo, b: oxlo_args, c: oxlo_argument_0, d: oxlo_argument_1, e: oxlo_argument_2, f: oxlo_argument_3, g: oxlo_call, h: oxlo_client)
        -> ::std::result::Result<oxlo, oxlo_client>;
        async fn m15(&self, _: &::oxlo::Context, a: oxlo_ctxt, b: oxlo_endpoint, c: oxlo_error, d: oxlo_extracted_1, e: oxlo_failure, f: oxlo_field_0, g: oxlo_field_1, h: oxlo_formatter)
        -> ::std::result::Result<oxlo_ctxt, oxlo_formatter>;
        async fn m16(&self, _: &::oxlo::Context, a: oxlo_served, b: oxlo_states, c: oxlo_text, d: oxlo_this, e: oxlo_value, f: oxlo_version, g: positional, h: prepare)
        -> ::std::result::Result<oxlo_served, prepare>;
        async fn m17(&self, _: &::oxlo::Context, a: primitive, b: refuse_rest, c: remote, d: rename, e: result, f: rpc, g: serde, h: served)
        -> ::std::result::Result<primitive, served>;
        async fn m18(&self, _: &::oxlo::Context, a: server, b: shared, c: shared_endpoint, d: skip_serializing_if, e: start, f: start_method, g: std, h: stringify)
        -> ::std::result::Result<server, stringify>;
        async fn m19(&self, _: &::oxlo::Context, a: sync, b: target, c: text, d: this, e: to_failure, f: to_value, g: too_many_arguments, h: transport)
        -> ::std::result::Result<sync, transport>;
        async fn m20(&self, _: &::oxlo::Context, a: unreachable_code, b: unused_imports, c: value, d: version, e: with, f: with_args, g: with_kwarg)
        -> ::std::result::Result<unreachable_code, with_kwarg>;
    }
}
