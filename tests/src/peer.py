# What a hostile automation begins with: the bytes of the channel in its own hands.
import os, struct, sys, json, time, select
from pawang import _wire as w

METHODS = {}
frames = w.FrameBuffer()


def send(data):
    while data:
        data = data[os.write(3, data):]


def receive():
    """The next message of the kernel; None at the end of the channel."""
    while True:
        frame = frames.next_frame()
        if frame is not None:
            return w.decode(frame)
        try:
            data = os.read(3, 65536)
        except ConnectionError:
            return None
        if not data:
            return None
        frames.feed(data)


def hello(version=1, features=0, body=b'{"client":"peer"}'):
    if not METHODS:
        message = receive()
        METHODS.update((m['name'], m['id']) for m in json.loads(message.body)['methods'])
    send(w.encode(w.Hello(version, features, body)))


def call(number, method='run.info', resource=b'', parent=0, secrets=b'', args=b'', data=b'', deadline=0, gas=0):
    method = METHODS[method] if isinstance(method, str) else method
    return w.encode(w.Call(number, parent, method, deadline, gas, resource, secrets, args, data))


def raw_call(number, method, resource):
    """The same without a check of ours."""
    head = struct.pack('<IQQIIQ', 2, number, 0, METHODS[method], 0, 0)
    fields = b''.join(struct.pack('<Q', len(f)) + f for f in (resource, b'', b'', b''))
    return framed(head + fields)


def framed(content):
    return struct.pack('<I', len(content)) + content


def answer(number):
    """The last reply to a call: its status, and its JSON."""
    while True:
        message = receive()
        if message is None:
            return None
        if isinstance(message, w.Reply) and message.id == number and not message.more:
            return message.status, json.loads(message.args or b'null')


def code(number):
    """D-code of a denial."""
    status, args = answer(number)
    assert status == 1, (status, args)
    return args['code']


def linger():
    """Lives until it is killed."""
    while receive() is not None:
        pass
    time.sleep(3600)
