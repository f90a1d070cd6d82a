//! One request and one answer of HTTP/1.1, after which the connection is closed.

use crate::server::Server;

/// The most bytes of an answer.
pub(crate) const MAX_ANSWER: usize = 1 << 20;
/// The most header fields of an answer.
const MAX_FIELDS: usize = 64;

/// What the server says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// The bytes of a request. With a body, which is JSON, it is a POST.
pub(crate) fn request(server: &Server, path: &str, body: Option<&str>) -> Vec<u8> {
    let (method, body) = match body {
        Some(body) => ("POST", body),
        None => ("GET", ""),
    };
    let length = body.len();
    format!(
        "{method} {prefix}{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: vitral-mlflow\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\nAccept: application/json\r\n\
         Connection: close\r\n\r\n{body}",
        prefix = server.path,
        host = server.peer(),
    )
    .into_bytes()
}

/// The answer in what has been received, `is_all` if nothing follows; none as long as it is not whole.
///
/// # Errors
/// It is no answer, in words.
pub(crate) fn answer(received: &[u8], is_all: bool) -> Result<Option<Answer>, String> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    let parsed =
        head.parse(received).map_err(|error| format!("its answer is not HTTP: {error}"))?;
    let httparse::Status::Complete(start) = parsed else {
        return if is_all { Err("it closed the connection".into()) } else { Ok(None) };
    };
    let status = head.code.unwrap_or_default();
    let field = |name: &str| {
        let mut found = head.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        found.next().map(|field| String::from_utf8_lossy(field.value).trim().to_lowercase())
    };
    let rest = &received[start..];
    let body = if field("transfer-encoding").is_some_and(|coding| coding.ends_with("chunked")) {
        chunks(rest)?
    } else if let Some(length) = field("content-length") {
        let length: usize = length.parse().map_err(|_| "its answer has no length".to_owned())?;
        rest.get(..length).map(<[u8]>::to_vec)
    } else {
        is_all.then(|| rest.to_vec())
    };
    match body {
        None if is_all => Err("it closed the connection in the middle of its answer".into()),
        body => Ok(body.map(|body| Answer { status, body })),
    }
}

/// The content of chunks; none as long as the last has not come.
fn chunks(mut rest: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut body = Vec::new();
    loop {
        let size = httparse::parse_chunk_size(rest);
        let size = size.map_err(|_| "its answer is in chunks without sizes".to_owned())?;
        let httparse::Status::Complete((start, size)) = size else { return Ok(None) };
        if size == 0 {
            return Ok(Some(body));
        }
        let end = usize::try_from(size).ok().and_then(|size| start.checked_add(size));
        let Some(chunk) = end.and_then(|end| rest.get(start..end)) else { return Ok(None) };
        body.extend_from_slice(chunk);
        let Some(after) = rest.get(start + chunk.len() + 2..) else { return Ok(None) };
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str, is_all: bool) -> Option<(u16, String)> {
        let answer = answer(text.as_bytes(), is_all).unwrap()?;
        Some((answer.status, String::from_utf8(answer.body).unwrap()))
    }

    #[test]
    fn an_answer_is_whole_at_its_length_its_last_chunk_or_the_end() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n";
        let counted = "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}";
        let closed = "HTTP/1.0 200 OK\r\n\r\nabc";
        assert_eq!(whole(chunked, false), Some((200, "abcde".into())));
        assert_eq!(whole(counted, false), Some((404, "{}".into())));
        assert_eq!((whole(closed, false), whole(closed, true)), (None, Some((200, "abc".into()))));
        for text in [chunked, counted] {
            // The last line of chunks tells nothing.
            for end in 0..text.len() - 4 {
                assert_eq!(whole(&text[..end], false), None, "{:?}", &text[..end]);
                assert!(answer(&text.as_bytes()[..end], true).is_err(), "{:?}", &text[..end]);
            }
        }
    }

    #[test]
    fn what_is_no_answer_is_said_to_be_none() {
        for wrong in [
            "SSH-2.0-OpenSSH\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        ] {
            assert!(answer(wrong.as_bytes(), false).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_request_names_its_host_and_length() {
        let server = Server::parse("http://lab:5000/m").unwrap();
        let text = String::from_utf8(request(&server, "/api", Some("{}"))).unwrap();
        assert!(text.starts_with("POST /m/api HTTP/1.1\r\nHost: lab:5000\r\n"), "{text}");
        assert!(
            text.contains("\r\nContent-Length: 2\r\n") && text.ends_with("\r\n\r\n{}"),
            "{text}"
        );
        assert!(request(&server, "/api", None).starts_with(b"GET /m/api "));
    }
}
