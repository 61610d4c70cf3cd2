"""Drives the embedded endpoint with the storage client of the Flyte SDK (obstore); prints one JSON line."""

import json
import os
import sys

import obstore
from obstore.store import S3Store

store = S3Store(
    "flyte-data",
    endpoint=sys.argv[1],
    access_key_id=sys.argv[2],
    secret_access_key=sys.argv[3],
    region="us-east-1",
    virtual_hosted_style_request=False,
    client_options={"allow_http": True},
)
done = {}

obstore.put(store, "dir/small", b"hello", attributes={"Content-Type": "text/html", "content_type": "text/html"})
head = obstore.head(store, "dir/small")
done["head"] = [head["path"], head["size"], bool(head["e_tag"])]
done["get"] = bytes(obstore.get(store, "dir/small").bytes()).decode()
done["range"] = bytes(obstore.get_range(store, "dir/small", start=1, length=3)).decode()

big = os.urandom(12 << 20)
obstore.put(store, "dir/big", big, use_multipart=True, chunk_size=5 << 20, max_concurrency=4)
done["multipart"] = bytes(obstore.get(store, "dir/big").bytes()) == big
ranges = obstore.get_ranges(store, "dir/big", starts=[0, 6_000_000], ends=[10, 6_000_010])
done["ranges"] = [bytes(part) for part in ranges] == [big[:10], big[6_000_000:6_000_010]]
with obstore.open_writer(store, "dir/written", buffer_size=5 << 20) as writer:
    for start in range(0, len(big), 1 << 20):
        writer.write(big[start : start + (1 << 20)])
done["writer"] = bytes(obstore.get(store, "dir/written").bytes()) == big

names = ["b c", "é+%&?#", "日本/😀", "a'(b)*!~"]
for name in names:
    obstore.put(store, f"names/{name}", name.encode())
done["names"] = [bytes(obstore.get(store, f"names/{name}").bytes()).decode() for name in names] == names
listed = [entry["path"] for page in obstore.list(store, "names") for entry in page]
done["list"] = sorted(listed) == sorted(f"names/{name}" for name in names)
level = obstore.list_with_delimiter(store, "names")
done["level"] = [level["common_prefixes"], len(level["objects"])]

obstore.copy(store, "names/é+%&?#", "copied/é+%&?#")
done["copy"] = bytes(obstore.get(store, "copied/é+%&?#").bytes()).decode()
obstore.delete(store, [f"names/{name}" for name in names] + ["names/absent"])
done["delete"] = [entry["path"] for page in obstore.list(store, "names") for entry in page]
obstore.put(store, "empty", b"")
done["empty"] = obstore.head(store, "empty")["size"]
try:
    obstore.get(store, "absent")
except FileNotFoundError:
    done["absent"] = "FileNotFoundError"
print(json.dumps(done))
