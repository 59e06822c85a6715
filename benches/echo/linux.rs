//! The contenders, and the program that each of them runs.

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures::future::join_all;
use reveille::rt::{Runtime, io::AsyncFd, spawn};
use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ROUNDS: usize = 11;
const MESSAGES: usize = 40_000;
const MESSAGE: &[u8] = b"0123456789";

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Reads or writes, and says how many bytes.
trait Transfer: Future<Output = io::Result<usize>> + Send {}
impl<F: Future<Output = io::Result<usize>> + Send> Transfer for F {}

/// A socket that tasks read and write.
trait Socket: Sized + Send + Sync + 'static {
    /// Makes a connection to `listener`, as the contender's users do. Returns both ends.
    fn pair(listener: &TcpListener) -> impl Future<Output = io::Result<[Self; 2]>> + Send;
    fn read<'a>(&'a mut self, buffer: &'a mut [u8]) -> impl Transfer;
    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> impl Transfer;
}

impl Socket for AsyncFd<TcpStream> {
    async fn pair(listener: &TcpListener) -> io::Result<[Self; 2]> {
        let address = listener.local_addr()?;
        let listener = AsyncFd::new(listener.try_clone()?)?;
        let ends = [Self::connect(address).await?, listener.accept().await?.0];
        for end in &ends {
            end.get_ref().set_nodelay(true)?;
        }
        Ok(ends)
    }

    fn read<'a>(&'a mut self, buffer: &'a mut [u8]) -> impl Transfer {
        AsyncFd::read(self, buffer)
    }

    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> impl Transfer {
        AsyncFd::write(self, bytes)
    }
}

impl Socket for smol::Async<TcpStream> {
    async fn pair(listener: &TcpListener) -> io::Result<[Self; 2]> {
        let [here, there] = std_pair(listener)?;
        Ok([Self::new(here)?, Self::new(there)?])
    }

    fn read<'a>(&'a mut self, buffer: &'a mut [u8]) -> impl Transfer {
        self.read_with(|mut stream| stream.read(buffer))
    }

    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> impl Transfer {
        self.write_with(|mut stream| stream.write(bytes))
    }
}

impl Socket for tokio::net::TcpStream {
    async fn pair(listener: &TcpListener) -> io::Result<[Self; 2]> {
        let [here, there] = std_pair(listener)?;
        Ok([Self::from_std(here)?, Self::from_std(there)?])
    }

    fn read<'a>(&'a mut self, buffer: &'a mut [u8]) -> impl Transfer {
        AsyncReadExt::read(self, buffer)
    }

    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> impl Transfer {
        AsyncWriteExt::write(self, bytes)
    }
}

fn std_pair(listener: &TcpListener) -> io::Result<[TcpStream; 2]> {
    let here = TcpStream::connect(listener.local_addr()?)?;
    let (there, _) = listener.accept()?;
    for stream in [&here, &there] {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
    }
    Ok([here, there])
}

async fn serve(mut socket: impl Socket) {
    let mut buffer = [0; 64];
    loop {
        let len = socket.read(&mut buffer).await.expect("read");
        if len == 0 {
            return;
        }
        socket.write(&buffer[..len]).await.expect("write");
    }
}

async fn ask(mut socket: impl Socket, messages: usize) {
    let mut buffer = [0; 64];
    for _ in 0..messages {
        socket.write(MESSAGE).await.expect("write");
        assert_eq!(socket.read(&mut buffer).await.expect("read"), MESSAGE.len());
    }
}

/// Returns the wall and CPU time of one round. `spawn` starts a task and returns a future that
/// waits for it.
async fn round<S: Socket>(connections: usize, spawn: fn(Task) -> Task) -> (Duration, Duration) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let mut clients = Vec::new();
    let mut servers = Vec::new();
    for _ in 0..connections {
        let [client, server] = S::pair(&listener).await.expect("a connection");
        servers.push(spawn(Box::pin(serve(server))));
        clients.push(client);
    }
    let (start, cpu) = (Instant::now(), process_cpu());
    let messages = MESSAGES / connections;
    let ask = |client| spawn(Box::pin(ask(client, messages)));
    let clients: Vec<_> = clients.into_iter().map(ask).collect();
    join_all(clients).await;
    let times = (start.elapsed(), process_cpu() - cpu);
    join_all(servers).await;
    times
}

fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.try_into().expect("CPU time is not negative")
}

fn on_rt<S: Socket>(workers: usize, connections: usize) -> (Duration, Duration) {
    let runtime = Runtime::builder().worker_threads(workers).build();
    let spawn: fn(Task) -> Task = |task| {
        let task = spawn(task);
        Box::pin(async { task.await.expect("a task") })
    };
    runtime
        .expect("a runtime")
        .block_on(round::<S>(connections, spawn))
}

fn on_tokio(workers: usize, connections: usize) -> (Duration, Duration) {
    use tokio::runtime::Builder;

    let runtime = match workers {
        1 => Builder::new_current_thread().enable_io().build(),
        _ => {
            // With as many threads that run tasks as above: the one in `block_on` only waits.
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(workers).enable_io().build()
        }
    };
    let spawn: fn(Task) -> Task = |task| {
        let task = tokio::spawn(task);
        Box::pin(async { task.await.expect("a task") })
    };
    let round = round::<tokio::net::TcpStream>(connections, spawn);
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async { tokio::spawn(round).await.expect("a task") })
}

type Contender = (&'static str, fn(usize, usize) -> (Duration, Duration));

const CONTENDERS: [Contender; 3] = [
    ("rt::io", on_rt::<AsyncFd<TcpStream>>),
    ("tokio", on_tokio),
    ("async-io on rt", on_rt::<smol::Async<TcpStream>>),
];

const ROWS: [(usize, usize); 5] = [(1, 1), (1, 100), (2, 1), (2, 100), (16, 100)];

/// What is to be measured, by the arguments: rows such as `2,1` (workers, connections), contenders by
/// the beginning of their names, and a number of rounds. Everything, if none is given.
struct Choice {
    rows: Vec<(usize, usize)>,
    contenders: Vec<Contender>,
    rounds: usize,
}

impl Choice {
    fn from_arguments() -> Self {
        // Cargo adds `--bench`.
        let arguments: Vec<_> = std::env::args().skip(1).collect();
        let arguments = arguments.iter().filter(|text| !text.starts_with("--"));
        let (mut rows, mut names, mut rounds) = (Vec::new(), Vec::new(), ROUNDS);
        for argument in arguments {
            if let Some((workers, connections)) = argument.split_once(',') {
                let number = |text: &str| text.parse().expect("a row such as 2,1");
                rows.push((number(workers), number(connections)));
            } else if let Ok(number) = argument.parse() {
                rounds = number;
            } else {
                names.push(argument.as_str());
            }
        }
        if rows.is_empty() {
            rows = ROWS.into();
        }
        let is_chosen = |(name, _): &Contender| {
            names.is_empty() || names.iter().any(|chosen| name.starts_with(chosen))
        };
        Self {
            rows,
            contenders: CONTENDERS.into_iter().filter(is_chosen).collect(),
            rounds,
        }
    }
}

pub(super) fn run() {
    let Choice {
        rows,
        contenders,
        rounds,
    } = Choice::from_arguments();
    println!("medians of {rounds} rounds of {MESSAGES} messages");
    println!("workers  connections                   messages/s   CPU, us each");
    for (workers, connections) in rows {
        let mut samples = vec![Vec::new(); contenders.len()];
        for round in 0..rounds {
            for turn in 0..contenders.len() {
                let i = (round + turn) % contenders.len();
                samples[i].push((contenders[i].1)(workers, connections));
            }
        }
        for ((name, _), samples) in contenders.iter().zip(&samples) {
            let median = |time: fn(&(Duration, Duration)) -> Duration| {
                let mut times: Vec<_> = samples.iter().map(time).collect();
                times.sort_unstable();
                times[rounds / 2].as_secs_f64() / MESSAGES as f64
            };
            let (wall, cpu) = (1.0 / median(|times| times.0), median(|times| times.1) * 1e6);
            println!("{workers:<8} {connections:<12} {name:<16} {wall:>11.0} {cpu:>14.1}");
        }
    }
}
