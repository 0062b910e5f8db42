//! The endpoint and the process that it lives in: signals, forks and descriptors.
//!
//! Most tests start this program again in another role, since signals and limits
//! are the whole process's.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use stethoscope::Registry;
use stethoscope::endpoint::{self, Builder, ConnectionHandler, Endpoint};

const ROLE: &str = "STETHOSCOPE_TEST_ROLE";
const PATIENCE: Duration = Duration::from_secs(20);

fn registry() -> Registry {
    let registry = Registry::new();
    registry.gauge("answer", "The answer.").unwrap().set(42);
    registry
}

fn serve() -> Endpoint {
    endpoint::serve(&registry(), "127.0.0.1:0").unwrap()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// This test program in a role of its own.
struct Program {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Program {
    /// Runs the test of that name, which plays a role if it is told to.
    fn start(role: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", role, "--nocapture"])
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// The rest of the next line that has `key` in it.
    fn line(&mut self, key: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.output.read_line(&mut line).unwrap();
            assert!(read > 0, "the program ended before it said {key:?}");
            if let Some((_, rest)) = line.split_once(key) {
                return rest.trim().to_owned();
            }
        }
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn plays(role: &str) -> bool {
    std::env::var(ROLE).is_ok_and(|played| played == role)
}

#[test]
#[allow(unsafe_code)]
fn signal_that_the_program_waits_for_reaches_it() {
    let role = "signal_that_the_program_waits_for_reaches_it";
    if plays(role) {
        let endpoint = serve();
        // SAFETY: the set is initialised by `sigemptyset` before it is read, and
        // all pointers are valid.
        let signal = unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGTERM);
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
            println!("ready {}", libc::gettid());
            let mut signal = 0;
            libc::sigwait(&set, &mut signal);
            signal
        };
        println!("signal {signal}");
        drop(endpoint);
        return;
    }
    let mut program = Program::start(role);
    program.line("ready ");
    // The kernel may give a signal to any thread that does not block it, and the
    // default action ends the process.
    let begun = std::time::Instant::now();
    let status = loop {
        // The thread gives itself its name, soon after it has started.
        match endpoint_thread(program.child.id()) {
            Some(task) => break std::fs::read_to_string(task.join("status")).unwrap(),
            None => assert!(begun.elapsed() < PATIENCE, "there is no such thread"),
        }
    };
    let blocked = status
        .lines()
        .find_map(|line| line.strip_prefix("SigBlk:"))
        .map(|mask| u64::from_str_radix(mask.trim(), 16).unwrap())
        .unwrap();
    let is_blocked = |signal: i32| blocked & (1 << (signal - 1)) != 0;
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGCHLD, libc::SIGUSR1] {
        assert!(is_blocked(signal), "signal {signal} is not blocked");
    }
    assert!(!is_blocked(libc::SIGSEGV), "faults have to be reported");
}

/// The directory of the endpoint's thread in a process.
fn endpoint_thread(process: u32) -> Option<PathBuf> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    tasks.map(|task| task.unwrap().path()).find(|task| {
        let name = std::fs::read_to_string(task.join("comm"));
        name.is_ok_and(|name| name == "stethoscope\n")
    })
}

#[test]
fn spawning_restores_the_signal_mask() {
    let before = own_mask();
    let _endpoint = serve();
    assert_eq!(own_mask(), before);
}

fn own_mask() -> String {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("SigBlk:"));
    line.unwrap().to_owned()
}

/// A forked child that does nothing, until it is dropped.
struct ForkedChild(libc::pid_t);

impl ForkedChild {
    #[allow(unsafe_code)]
    fn new() -> Self {
        // SAFETY: the child calls functions only that are async-signal-safe.
        match unsafe { libc::fork() } {
            0 => loop {
                // SAFETY: as above.
                unsafe { libc::pause() };
            },
            child => {
                assert!(child > 0, "cannot fork");
                Self(child)
            }
        }
    }
}

impl Drop for ForkedChild {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the child is ours and has not been waited for.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

#[test]
fn shutdown_frees_port_and_clients_while_a_forked_child_lives() {
    let endpoint = serve();
    let address = endpoint.local_addr().unwrap();
    let mut clients = [connect(address), connect(address)];
    for client in &mut clients {
        client
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        assert!(client.read(&mut [0; 4096]).unwrap() > 0);
    }
    let child = ForkedChild::new();
    endpoint.shutdown();
    endpoint.join().unwrap();
    for client in &mut clients {
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "the connection ends");
    }
    assert!(TcpStream::connect(address).is_err(), "the port is closed");
    let _again = endpoint::serve(&registry(), address).expect("the port is free");
    drop(child);
}

#[test]
fn connection_that_is_closed_ends_while_a_forked_child_lives() {
    let endpoint = serve();
    let mut client = connect(endpoint.local_addr().unwrap());
    client.write_all(b"GET /metr").unwrap();
    // The endpoint has it when another client is answered.
    let mut other = connect(endpoint.local_addr().unwrap());
    other.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    other.read_to_end(&mut Vec::new()).unwrap();
    let child = ForkedChild::new();
    client.write_all(b"ics HTTP/1.0\r\n\r\n").unwrap();
    let mut response = String::new();
    client.read_to_string(&mut response).unwrap();
    assert!(response.ends_with("answer 42\n"), "{response}");
    drop(child);
}

/// Connections that a host has been given and has not begun to serve.
#[derive(Clone, Default)]
struct Blocked(Arc<Mutex<Vec<OwnedFd>>>);

impl ConnectionHandler for Blocked {
    fn handle(&mut self, connection: OwnedFd) -> Result<(), OwnedFd> {
        self.0.lock().unwrap().push(connection);
        Ok(())
    }

    fn waiting(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

#[test]
fn host_can_open_files_while_connections_wait_to_be_handed_over() {
    let role = "host_can_open_files_while_connections_wait_to_be_handed_over";
    if plays(role) {
        let few = Rlimit {
            current: Some(120),
            ..getrlimit(Resource::Nofile)
        };
        setrlimit(Resource::Nofile, few).unwrap();
        let blocked = Blocked::default();
        let builder = Builder::new(&registry()).listen("127.0.0.1:0");
        let builder = builder.connection_handler(blocked.clone());
        let endpoint = builder.spawn().unwrap();
        println!("address {}", endpoint.local_addr().unwrap());
        for command in std::io::stdin().lines() {
            if command.unwrap() == "open" {
                let files = [(); 5].map(|()| std::fs::File::open("/dev/null").is_ok());
                let waiting = blocked.waiting();
                println!(
                    "opened {} of 5 while {waiting} wait",
                    files.iter().filter(|f| **f).count()
                );
            } else {
                let waiting = std::mem::take(&mut *blocked.0.lock().unwrap());
                for connection in waiting {
                    let mut stream = TcpStream::from(connection);
                    // Unread bytes would reset the connection when it is closed.
                    assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
                    stream.write_all(b"the host").unwrap();
                }
                println!("served");
            }
        }
        return;
    }
    let mut program = Program::start(role);
    let address = program.line("address ").parse().unwrap();
    let mut clients: Vec<TcpStream> = (0..300)
        .map(|_| {
            let mut client = connect(address);
            client
                .write_all(b"GET /status HTTP/1.1\r\nHost: a\r\n\r\n")
                .unwrap();
            client
        })
        .collect();
    for _ in 0..30 {
        program.tell("open");
        let opened = program.line("opened ");
        assert!(opened.starts_with("5 of 5 "), "{opened}");
        std::thread::sleep(Duration::from_millis(10));
    }
    // They waited in the kernel, and are all served in the end.
    for client in &mut clients {
        client.set_nonblocking(true).unwrap();
        let begun = std::time::Instant::now();
        let mut response = Vec::new();
        while client.read_to_end(&mut response).is_err() && response.is_empty() {
            assert!(begun.elapsed() < PATIENCE, "a client is not served");
            program.tell("serve");
            program.line("served");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(response.starts_with(b"the host"), "{response:?}");
    }
}

/// The processor time of the endpoint's thread, in hundredths of a second.
fn thread_ticks() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let mut ticks = 0;
    for task in tasks {
        // A thread may end meanwhile.
        let Ok(stat) = std::fs::read_to_string(task.unwrap().path().join("stat")) else {
            continue;
        };
        let (name, fields) = stat.rsplit_once(") ").unwrap();
        if name.ends_with("(stethoscope") {
            let times = fields.split(' ').skip(11).take(2);
            ticks += times.map(|time| time.parse::<u64>().unwrap()).sum::<u64>();
        }
    }
    ticks
}

#[test]
fn endpoint_sleeps_while_clients_do_nothing() {
    let role = "endpoint_sleeps_while_clients_do_nothing";
    if !plays(role) {
        // In a process of its own, since other tests have endpoints too.
        let mut program = Program::start(role);
        let ticks: u64 = program.line("ticks ").parse().unwrap();
        assert!(
            ticks <= 10,
            "{ticks} hundredths of a second within a second"
        );
        return;
    }
    let blocked = Blocked::default();
    let builder = Builder::new(&registry()).listen("127.0.0.1:0");
    let endpoint = builder.connection_handler(blocked).spawn().unwrap();
    let address = endpoint.local_addr().unwrap();
    let states: [(&[u8], bool); 6] = [
        (b"", false),
        (b"", true),
        (b"GET /metr", false),
        (b"GET /metrics HTTP/1.1\r\nHost", false),
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\nGET /m", false),
        (b"GET /status HTTP/1.1\r\n\r\n", true),
    ];
    let _clients = states.map(|(bytes, is_finished)| {
        let mut client = connect(address);
        client.write_all(bytes).unwrap();
        if is_finished {
            client.shutdown(std::net::Shutdown::Write).unwrap();
        }
        client
    });
    std::thread::sleep(Duration::from_millis(200));
    let before = thread_ticks();
    std::thread::sleep(Duration::from_secs(1));
    println!("ticks {}", thread_ticks() - before);
}
