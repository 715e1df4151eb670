//! Without an OpenTelemetry layer the request context travels unchanged.

use oxlo::{Context, Endpoint, Failure, RPCClient, RPCServer, Target};
use oxlo_test_support::own_process;

#[tokio::test]
async fn without_an_opentelemetry_layer_the_context_passes_as_it_is() {
    own_process!(without_an_opentelemetry_layer_the_context_passes_as_it_is);
    let transport = oxlo::connect("memory://telemetry-none").await.unwrap();
    let endpoint = Endpoint::new("1.0").method("echo", async |ctxt: Context| Ok::<_, Failure>(ctxt));
    let _server =
        RPCServer::builder(transport.clone(), Target::topic("echo").server("e")).endpoint(endpoint).start().await;
    let client = RPCClient::new(transport, Target::topic("echo"));
    let ctxt = Context::new().with("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    assert_eq!(client.call::<Context>(&ctxt, "echo", ()).await.unwrap(), ctxt);
    assert_eq!(client.call::<Context>(&Context::new(), "echo", ()).await.unwrap(), Context::new());
}
