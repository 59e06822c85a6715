//! Reading and writing, for what std can read and write through a shared reference.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use crate::rt::io::async_fd::AsyncFd;
use crate::rt::reactor::registration::Direction;

impl<T: AsFd> AsyncFd<T> {
    /// Reads what there is into `buffer`, and waits if there is nothing. Returns how many bytes; 0
    /// means the end, unless `buffer` is empty.
    ///
    /// If `T` is more than a descriptor, such as one with a buffer, its errors count as the
    /// descriptor's; see [`read_with`](Self::read_with).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no data.
    ///
    /// # Errors
    ///
    /// Those of `T`, except `WouldBlock` and `Interrupted`, and those of
    /// [`readable`](Self::readable).
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::rt::{self, io::AsyncFd};
    /// use std::io::Write;
    ///
    /// rt::block_on(async {
    ///     let (reader, mut writer) = std::io::pipe()?;
    ///     let reader = AsyncFd::new(reader)?;
    ///     writer.write_all(b"hello")?;
    ///     drop(writer);
    ///     let mut buffer = [0; 64];
    ///     assert_eq!(reader.read(&mut buffer).await?, 5);
    ///     assert_eq!(reader.read(&mut buffer).await?, 0);
    ///     Ok::<_, std::io::Error>(())
    /// })?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn read(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>>
    where
        for<'a> &'a T: Read,
    {
        let wait = self.wait_before_read(buffer);
        let read = |io: &T| self.read_noting_short(io, buffer);
        self.try_with(Direction::Read, wait, read)
    }

    /// Reads until `buffer` is full, and waits as often as there is nothing.
    ///
    /// # Cancel safety
    ///
    /// This is not cancel safe: if the future is dropped before it is ready, any number of bytes
    /// may have been read, and that number is not known. Where a read is given up and the stream is
    /// used afterwards, call [`read`](Self::read) and count.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read), and [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the
    /// end comes first. Some bytes may have been read.
    ///
    /// # Examples
    ///
    /// A message with its length before it:
    ///
    /// ```
    /// use reveille::rt::{self, io::AsyncFd};
    /// use std::io;
    /// use std::os::unix::net::UnixStream;
    ///
    /// async fn message(stream: &AsyncFd<UnixStream>) -> io::Result<Vec<u8>> {
    ///     let mut len = [0; 2];
    ///     stream.read_exact(&mut len).await?;
    ///     let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
    ///     stream.read_exact(&mut message).await?;
    ///     Ok(message)
    /// }
    ///
    /// rt::block_on(async {
    ///     let (here, there) = UnixStream::pair()?;
    ///     let (here, there) = (AsyncFd::new(here)?, AsyncFd::new(there)?);
    ///     there.write_all(b"\0\x05hello\0").await?;
    ///     assert_eq!(message(&here).await?, b"hello");
    ///     drop(there);
    ///     let error = message(&here).await.unwrap_err();
    ///     assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    ///     Ok::<_, io::Error>(())
    /// })?;
    /// # Ok::<_, io::Error>(())
    /// ```
    pub async fn read_exact(&self, mut buffer: &mut [u8]) -> io::Result<()>
    where
        for<'a> &'a T: Read,
    {
        while !buffer.is_empty() {
            match self.read(buffer).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                len => buffer = &mut buffer[len..],
            }
        }
        Ok(())
    }

    /// Writes as much of `bytes` as there is room for, and waits if there is none. Returns how many
    /// bytes.
    ///
    /// # Cancel safety
    ///
    /// Nothing is written if the future is dropped before it is ready.
    ///
    /// # Errors
    ///
    /// Those of `T`, except `WouldBlock` and `Interrupted`, and those of
    /// [`writable`](Self::writable).
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::rt::{self, io::AsyncFd};
    ///
    /// rt::block_on(async {
    ///     let (_reader, writer) = std::io::pipe()?;
    ///     let writer = AsyncFd::new(writer)?;
    ///     assert_eq!(writer.write(b"hello").await?, 5);
    ///     Ok::<_, std::io::Error>(())
    /// })?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn write(&self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>>
    where
        for<'a> &'a T: Write,
    {
        self.write_with(|mut io| io.write(bytes))
    }

    /// Writes all of `bytes`, and waits as often as there is no room.
    ///
    /// Two tasks that write at once may mix their bytes.
    ///
    /// # Cancel safety
    ///
    /// This is not cancel safe: if the future is dropped before it is ready, any number of the
    /// bytes may have been written.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write), and [`WriteZero`](io::ErrorKind::WriteZero) if `T` takes no
    /// more bytes. Some may have been written.
    ///
    /// # Examples
    ///
    /// A peer that does not read is given up after a while:
    ///
    /// ```
    /// use reveille::FutureExt;
    /// use reveille::rt::{self, io::AsyncFd};
    /// use std::os::unix::net::UnixStream;
    /// use std::time::Duration;
    ///
    /// rt::block_on(async {
    ///     let (here, _there) = UnixStream::pair()?;
    ///     let here = AsyncFd::new(here)?;
    ///     here.write_all(b"hello").await?;
    ///     let much = vec![0; 1 << 24];
    ///     assert!(here.write_all(&much).timeout(Duration::from_millis(1)).await.is_err());
    ///     Ok::<_, std::io::Error>(())
    /// })?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()>
    where
        for<'a> &'a T: Write,
    {
        while !bytes.is_empty() {
            match self.write(bytes).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                len => bytes = &bytes[len..],
            }
        }
        Ok(())
    }
}
