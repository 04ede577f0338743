"""Values that nobody has, of every class, and every way to write them that is promised to be found."""

import random
from string import ascii_letters, ascii_lowercase, ascii_uppercase, digits

from llmproxy_grpc.datasets.redaction.check_digits import cnpj, cpf, luhn, mod97

RANDOM = random.Random(20_261_126)
ALPHANUMERIC = ascii_lowercase + ascii_uppercase + digits


def letters(count, alphabet=ALPHANUMERIC):
    return "".join(RANDOM.choice(alphabet) for _ in range(count))


def checked(make, test):
    while not test((value := make()).encode()):
        pass
    return value


def email():
    domain = f"{letters(8, ascii_lowercase)}.example.{RANDOM.choice(['com', 'org', 'co.uk'])}"
    return f"{letters(6)}.{letters(4)}+{letters(3)}@{domain}"


def phone():
    area, exchange, line = RANDOM.randint(200, 999), RANDOM.randint(200, 999), f"{RANDOM.randint(0, 9999):04}"
    return RANDOM.choice(
        [
            f"+1 ({area}) {exchange}-{line}",
            f"+1{area}{exchange}{line}",
            f"({area}) {exchange}-{line}",
            f"{area}-{exchange}-{line}",
            f"+44 20 7946 {line}",
            f"+55 11 9{line}-{line}",
            f"(21) 9{line}-{line}",
            f"+49 30 90{line}",
        ]
    )


def card():
    start = RANDOM.choice(["4", "51", "2221", "6011", "35"])
    number = checked(lambda: start + letters(16 - len(start), digits), luhn)
    return RANDOM.choice(
        [
            number,
            " ".join(number[i : i + 4] for i in range(0, 16, 4)),
            "-".join(number[i : i + 4] for i in range(0, 16, 4)),
        ]
    )


def iban():
    value = checked(lambda: "DE" + letters(20, digits), mod97)
    return RANDOM.choice([value, value.lower(), " ".join(value[i : i + 4] for i in range(0, 22, 4))])


def ip_address():
    if RANDOM.random() < 0.3:
        return f"2001:db8:{letters(4, '123456789abcdef')}::{letters(4, '123456789abcdef')}"
    return ".".join(str(RANDOM.randint(11, 250)) for _ in range(4))


def cpf_number():
    value = checked(lambda: letters(11, digits), cpf)
    return RANDOM.choice([value, f"{value[:3]}.{value[3:6]}.{value[6:9]}-{value[9:]}"])


def cnpj_number():
    letters_too = RANDOM.random() < 0.5
    root = letters(8, ascii_uppercase + digits if letters_too else digits)
    value = checked(lambda: root + "0001" + letters(2, digits), cnpj)
    return f"{value[:2]}.{value[2:5]}.{value[5:8]}/{value[8:12]}-{value[12:]}"


def us_ssn():
    return f"{RANDOM.randint(1, 665):03}-{RANDOM.randint(1, 99):02}-{RANDOM.randint(1, 9999):04}"


def jwt():
    return f"eyJ{letters(30)}.eyJ{letters(40)}.{letters(43)}"


def api_key():
    return RANDOM.choice(
        [
            f"sk-{letters(48)}",
            f"sk-ant-api03-{letters(60)}",
            f"AKIA{letters(16, ascii_uppercase + '234567')}",
            f"AIza{letters(35)}",
            f"ghp_{letters(36)}",
            f"hf_{letters(34, ascii_letters)}",
            f"xoxb-{letters(11, digits)}-{letters(24)}",
            f"Bearer {letters(64)}",
        ]
    )


def url_credentials():
    return f"postgresql://{letters(6)}:{letters(10)}@db.example.net/x"


MAKERS = {
    "EMAIL": email,
    "PHONE": phone,
    "CARD": card,
    "IBAN": iban,
    "IP_ADDRESS": ip_address,
    "CPF": cpf_number,
    "CNPJ": cnpj_number,
    "US_SSN": us_ssn,
    "JWT": jwt,
    "API_KEY": api_key,
    "URL_CREDENTIALS": url_credentials,
}
# Enough of each that there are 506.
CANARIES = [(kind, make()) for kind, make in MAKERS.items() for _ in range(46)]


def secret_of(kind, value):
    """The part of a canary that must not be read anywhere."""
    return value.split("://")[1].split("@")[0] if kind == "URL_CREDENTIALS" else value


def full_width(text):
    """The same in full-width letters, as keyboards of East Asia write them."""
    return "".join(chr(ord(c) + 0xFEE0) if c.isalnum() or c in "@.+_%-" else c for c in text)


def escaped(text):
    """The same with every sign as an escape of JSON."""
    return "".join(c if c.isalnum() else f"\\u{ord(c):04x}" for c in text)
