//! Acts on sockets: every family and every way around `connect`.

use crate::{Arguments, Tried, broken, call};

const CHANNEL: usize = 3;

pub fn act(name: &str, arguments: &Arguments) -> Option<Tried> {
    Some(match name {
        "connect-path" => connect(libc::AF_UNIX, libc::SOCK_STREAM, 0, &local(arguments.text(0).as_bytes())),
        "connect-abstract" => {
            let name = [b"\0", arguments.text(0).as_bytes()].concat();
            connect(libc::AF_UNIX, libc::SOCK_STREAM, 0, &local(&name))
        }
        "datagram-path" => send(libc::AF_UNIX, libc::SOCK_DGRAM, 0, &local(arguments.text(0).as_bytes())),
        "pair-datagram-path" => pair_then_send(&local(arguments.text(0).as_bytes())),
        "socketpair-stream" => pair(libc::SOCK_STREAM).map(drop),
        "socketpair-datagram" => pair(libc::SOCK_DGRAM).map(drop),
        "socketpair-seqpacket" => pair(libc::SOCK_SEQPACKET).map(drop),
        "connect-tcp" => connect(libc::AF_INET, libc::SOCK_STREAM, 0, &internet(arguments)),
        "connect-mptcp" => connect(libc::AF_INET, libc::SOCK_STREAM, 262, &internet(arguments)),
        "tcp-fast-open" => send(libc::AF_INET, libc::SOCK_STREAM, libc::MSG_FASTOPEN, &internet(arguments)),
        "send-udp" => send(libc::AF_INET, libc::SOCK_DGRAM, 0, &internet(arguments)),
        "listen-tcp" => listen(),
        "socket-netlink" => socket(libc::AF_NETLINK, libc::SOCK_RAW, 0).map(drop),
        "socket-high-bits" => {
            let family = 0xdead_0000_0000 | libc::AF_UNIX as usize;
            call(libc::SYS_socket, [family, libc::SOCK_STREAM as usize, 0, 0, 0, 0]).map(drop)
        }
        "send-descriptor" => send_descriptor(),
        "steal-signals" => fcntl(libc::F_SETOWN as usize, std::process::id() as usize),
        "steal-signals-high-bits" => {
            fcntl(libc::F_SETOWN as usize | 0xdead_0000_0000, std::process::id() as usize)
        }
        "take-terminal" => ioctl(libc::TIOCSCTTY as usize),
        "take-terminal-high-bits" => ioctl(libc::TIOCSCTTY as usize | 0xdead_0000_0000),
        "attach-socket-filter" => attach(),
        _ => return None,
    })
}

fn socket(family: i32, kind: i32, protocol: i32) -> Result<usize, i32> {
    let number = call(libc::SYS_socket, [family as usize, kind as usize, protocol as usize, 0, 0, 0])?;
    Ok(number as usize)
}

fn connect(family: i32, kind: i32, protocol: i32, address: &[u8]) -> Tried {
    let number = socket(family, kind, protocol)?;
    call(libc::SYS_connect, [number, address.as_ptr() as usize, address.len(), 0, 0, 0]).map(drop)
}

fn send(family: i32, kind: i32, flags: i32, address: &[u8]) -> Tried {
    let number = socket(family, kind, 0)?;
    send_to(number, flags, address)
}

fn send_to(number: usize, flags: i32, address: &[u8]) -> Tried {
    let data = [1u8];
    let arguments =
        [number, data.as_ptr() as usize, 1, flags as usize, address.as_ptr() as usize, address.len()];
    call(libc::SYS_sendto, arguments).map(drop)
}

fn pair(kind: i32) -> Result<[i32; 2], i32> {
    let mut ends = [-1i32; 2];
    let arguments = [libc::AF_UNIX as usize, kind as usize, 0, ends.as_mut_ptr() as usize, 0, 0];
    call(libc::SYS_socketpair, arguments)?;
    Ok(ends)
}

/// A pair's end of a datagram socket can still name another address.
fn pair_then_send(address: &[u8]) -> Tried {
    let [end, _] = pair(libc::SOCK_DGRAM)?;
    send_to(end as usize, 0, address)
}

fn listen() -> Tried {
    let number = socket(libc::AF_INET, libc::SOCK_STREAM, 0)?;
    let any = [2u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    call(libc::SYS_bind, [number, any.as_ptr() as usize, any.len(), 0, 0, 0])?;
    call(libc::SYS_listen, [number, 1, 0, 0, 0, 0]).map(drop)
}

fn send_descriptor() -> Tried {
    let mut control = [0u64; 3];
    // One control message of 20 bytes: its length, SOL_SOCKET and SCM_RIGHTS, descriptor 0.
    control[0] = 20;
    control[1] = 1 | (1 << 32);
    let mut data = [1u8];
    let vector = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: 1 };
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = (&raw const vector).cast_mut();
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = 24;
    call(libc::SYS_sendmsg, [CHANNEL, &raw const message as usize, 0, 0, 0, 0]).map(drop)
}

fn fcntl(command: usize, argument: usize) -> Tried {
    call(libc::SYS_fcntl, [CHANNEL, command, argument, 0, 0, 0]).map(drop)
}

fn ioctl(command: usize) -> Tried {
    call(libc::SYS_ioctl, [0, command, 0, 0, 0, 0]).map(drop)
}

fn attach() -> Tried {
    let mut allow = libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: u32::MAX };
    let program = libc::sock_fprog { len: 1, filter: &raw mut allow };
    let room = size_of::<libc::sock_fprog>();
    let arguments = [
        CHANNEL,
        libc::SOL_SOCKET as usize,
        libc::SO_ATTACH_FILTER as usize,
        &raw const program as usize,
        room,
        0,
    ];
    call(libc::SYS_setsockopt, arguments).map(drop)
}

fn local(name: &[u8]) -> Vec<u8> {
    [&(libc::AF_UNIX as u16).to_le_bytes(), name].concat()
}

/// 127.0.0.1 and the port of the first argument.
fn internet(arguments: &Arguments) -> Vec<u8> {
    let port = u16::try_from(arguments.number(0)).unwrap_or_else(|_| broken("not a port"));
    let [high, low] = port.to_be_bytes();
    vec![2, 0, high, low, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
}
