//! A bare connection to the broker, for the even load. What the load itself takes of the two cores is missing to those who are
//! measured: over a client that is made for comfort it took half as much as a worker.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use amq_protocol::auth::{Credentials, SASLMechanism};
use amq_protocol::frame::{
    AMQPContentHeader, AMQPFrame, ProtocolVersion, WriteContext, gen_frame, parse_frame,
};
use amq_protocol::protocol::connection::{AMQPMethod as OfConnection, Open, StartOk, TuneOk};
use amq_protocol::protocol::{AMQPClass, BasicProperties, basic, channel};
use amq_protocol::types::FieldTable;
use amq_protocol::uri::AMQPUri;

const CHANNEL: u16 = 1;

/// RabbitMQ's own offer; every body of the bench fits into one frame.
const FRAME_MAX: u32 = 128 * 1024;

pub(crate) struct Wire {
    stream: TcpStream,
    /// What has come in and is no whole frame yet.
    received: Vec<u8>,
    /// Messages that have come, which is the tag of the last.
    delivered: u64,
    acknowledged: u64,
}

impl Wire {
    /// Connects and opens a channel, without confirms and heartbeats. Reading fails when nothing comes for `silence`.
    pub(crate) fn connect(url: &str, silence: Duration) -> Self {
        let uri: AMQPUri = url.parse().unwrap();
        let stream = TcpStream::connect((uri.authority.host.as_str(), uri.authority.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(silence)).unwrap();
        let mut wire = Self {
            stream,
            received: Vec::new(),
            delivered: 0,
            acknowledged: 0,
        };
        let user = uri.authority.userinfo;
        let credentials = Credentials::new(user.username.into(), user.password.into());
        wire.ask(&AMQPFrame::ProtocolHeader(ProtocolVersion::amqp_0_9_1()));
        let start = StartOk {
            client_properties: FieldTable::default(),
            mechanism: "PLAIN".into(),
            response: credentials.sasl_auth_string(SASLMechanism::Plain),
            locale: "en_US".into(),
        };
        wire.ask(&of_connection(OfConnection::StartOk(start)));
        let tune = TuneOk {
            channel_max: CHANNEL,
            frame_max: FRAME_MAX,
            heartbeat: 0,
        };
        wire.send(&written(&of_connection(OfConnection::TuneOk(tune))));
        let virtual_host = uri.vhost.into();
        wire.ask(&of_connection(OfConnection::Open(Open { virtual_host })));
        let open = channel::AMQPMethod::Open(channel::Open {});
        wire.ask(&AMQPFrame::Method(CHANNEL, AMQPClass::Channel(open)));
        wire
    }

    /// Has the messages of a queue sent. They are to be acknowledged: to a consumer that acknowledges nothing a quorum queue sends
    /// each message with an entry in its log, which is a third of all entries that the broker writes here.
    pub(crate) fn consume(&mut self, queue: &str) {
        let consume = basic::Consume {
            queue: queue.into(),
            consumer_tag: "".into(),
            no_local: false,
            no_ack: false,
            exclusive: false,
            nowait: false,
            arguments: FieldTable::default(),
        };
        let consume = basic::AMQPMethod::Consume(consume);
        self.ask(&AMQPFrame::Method(CHANNEL, AMQPClass::Basic(consume)));
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Waits for messages; gives back the bodies of all that have come.
    pub(crate) fn bodies(&mut self) -> Vec<Vec<u8>> {
        let bodies = self.frames().into_iter().filter_map(|frame| match frame {
            AMQPFrame::Body(_, body) => Some(body),
            _ => None,
        });
        let bodies: Vec<_> = bodies.collect();
        self.delivered += bodies.len() as u64;
        bodies
    }

    /// Acknowledges all that has come, in one frame.
    pub(crate) fn acknowledge(&mut self) {
        if self.acknowledged == self.delivered {
            return;
        }
        self.acknowledged = self.delivered;
        let acknowledge = basic::AMQPMethod::Ack(basic::Ack {
            delivery_tag: self.delivered,
            multiple: true,
        });
        self.send(&written(&AMQPFrame::Method(
            CHANNEL,
            AMQPClass::Basic(acknowledge),
        )));
    }

    /// Sends one frame and waits for its answer.
    fn ask(&mut self, frame: &AMQPFrame) {
        self.send(&written(frame));
        while self.frames().is_empty() {}
    }

    /// Reads once; gives back the frames that are whole.
    fn frames(&mut self) -> Vec<AMQPFrame> {
        let mut some = [0; 64 * 1024];
        let length = self.stream.read(&mut some).unwrap();
        assert!(length > 0, "the broker has closed the connection");
        self.received.extend_from_slice(&some[..length]);
        let mut frames = Vec::new();
        let mut rest = self.received.as_slice();
        while let Ok((after, frame)) = parse_frame(rest) {
            frames.push(frame);
            rest = after;
        }
        let parsed = self.received.len() - rest.len();
        self.received.drain(..parsed);
        frames
    }
}

/// What a client sends to publish one persistent message to a queue.
pub(crate) fn publication(queue: &str, message_id: &str, body: Vec<u8>) -> Vec<u8> {
    let publish = basic::Publish {
        exchange: "".into(),
        routing_key: queue.into(),
        mandatory: false,
        immediate: false,
    };
    let header = AMQPContentHeader {
        class_id: publish.get_amqp_class_id(),
        body_size: body.len() as u64,
        properties: BasicProperties::default()
            .with_delivery_mode(2)
            .with_message_id(message_id.into()),
    };
    let publish = AMQPClass::Basic(basic::AMQPMethod::Publish(publish));
    [
        AMQPFrame::Method(CHANNEL, publish),
        AMQPFrame::Header(CHANNEL, header),
        AMQPFrame::Body(CHANNEL, body),
    ]
    .iter()
    .flat_map(written)
    .collect()
}

fn of_connection(method: OfConnection) -> AMQPFrame {
    AMQPFrame::Method(0, AMQPClass::Connection(method))
}

fn written(frame: &AMQPFrame) -> Vec<u8> {
    let written = gen_frame(frame)(WriteContext::from(Vec::new())).unwrap();
    written.into_inner().0
}
