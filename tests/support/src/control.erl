%% Evaluated inside each test broker. Answers Erlang expressions on a socket in the broker's own folder, because a rabbitmqctl call
%% costs a second of processor time and this costs a fraction of a millisecond.
%% A request and a reply are one packet with four bytes of length; the reply is "+" and JSON, or "-" and what went wrong.
spawn(fun() ->
  Path = os:getenv("OXLO_CONTROL"),
  _ = file:delete(Path),
  {ok, Listener} = gen_tcp:listen(0, [binary, {packet, 4}, {active, false}, {backlog, 128}, {ifaddr, {local, Path}}]),
  Run = fun(Text) ->
    try
      {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(Text)),
      {ok, Expressions} = erl_parse:parse_exprs(Tokens),
      {value, Value, _} = erl_eval:exprs(Expressions, erl_eval:new_bindings()),
      [<<"+">>, rabbit_json:encode(Value)]
    catch Class:Reason:Stack ->
      [<<"-">>, unicode:characters_to_binary(io_lib:format("~tp: ~tp at ~tp", [Class, Reason, Stack]))]
    end
  end,
  Serve = fun Serve(Socket) ->
    case gen_tcp:recv(Socket, 0) of
      {ok, Text} -> _ = gen_tcp:send(Socket, Run(Text)), Serve(Socket);
      {error, _} -> gen_tcp:close(Socket)
    end
  end,
  Accept = fun Accept() ->
    {ok, Socket} = gen_tcp:accept(Listener),
    Server = spawn(fun() -> receive go -> Serve(Socket) end end),
    ok = gen_tcp:controlling_process(Socket, Server),
    Server ! go,
    Accept()
  end,
  Accept()
end).
