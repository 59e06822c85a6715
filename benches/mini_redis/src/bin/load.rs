//! The clients: `load PORT CLIENTS KEYS_A_SECOND SECONDS`. Each sets keys that expire after 1 to
//! 100 ms, at random times, and waits for each answer. Blocking threads, so that no timer of a
//! runtime lines up what they send.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

/// splitmix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number above 0, at most 1.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

fn main() {
    let args: Vec<u64> = std::env::args().skip(1).map(|it| it.parse().unwrap()).collect();
    let [port, clients, rate, seconds] = args[..] else {
        panic!("load PORT CLIENTS KEYS_A_SECOND SECONDS");
    };
    let end = Instant::now() + Duration::from_secs(seconds);
    let client = |id: u64| {
        move || {
            let mut rng = Rng(id);
            let mut stream = TcpStream::connect(("127.0.0.1", port as u16)).unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut count, mut next) = (0_u64, Instant::now());
            while Instant::now() < end {
                // The waits are exponentially distributed.
                let wait = -rng.unit().ln() * clients as f64 / rate as f64;
                next += Duration::from_secs_f64(wait);
                thread::sleep(next.saturating_duration_since(Instant::now()));
                let key = format!("{id}:{count}");
                let ttl = (1 + rng.next() % 100).to_string();
                let fields = ["SET", &key, "value", "PX", &ttl];
                let mut command = format!("*{}\r\n", fields.len());
                for field in fields {
                    command += &format!("${}\r\n{field}\r\n", field.len());
                }
                stream.write_all(command.as_bytes()).unwrap();
                let mut answer = [0; 5];
                stream.read_exact(&mut answer).unwrap();
                assert_eq!(&answer, b"+OK\r\n");
                count += 1;
            }
            count
        }
    };
    let threads: Vec<_> = (0..clients).map(|id| thread::spawn(client(id))).collect();
    let count: u64 = threads.into_iter().map(|it| it.join().unwrap()).sum();
    println!("{count}");
}
