# Copyright (C) the apigw authors

# What python3-jwt says of tokens: for t/unit/jwt_oracle.c.
#
# The first line of the input is a JWK Set; every other one a token as
# hexadecimal digits.  For each of them a line comes out: "ok" and its claims
# as JSON, or "no" and why.  With the argument "issue" it makes keys and tokens
# of its own: a JWK Set, then a line for each token.
#
# python3-jwt forgives what the strict rules of the suite do not (base64 with
# anything in it, members twice, "crit", dates as strings), so these are
# checked here first, written anew from the RFCs.

import base64
import json
import re
import sys

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

LIMIT = 2 ** 53


class Wrong(Exception):
    pass


def decode(text):
    if not re.fullmatch(rb'[A-Za-z0-9_-]+', text):
        raise Wrong('base64url')
    data = base64.urlsafe_b64decode(text + b'=' * (-len(text) % 4))
    if base64.urlsafe_b64encode(data).rstrip(b'=') != text:
        raise Wrong('base64url')
    return data


def pairs(items):
    if len({name for name, value in items}) != len(items):
        raise Wrong('twice')
    return dict(items)


def integer(text):
    n = int(text)
    if not -2 ** 63 <= n < 2 ** 63:
        raise Wrong('integer')
    return n


def real(text):
    n = float(text)
    if n in (float('inf'), float('-inf')):
        raise Wrong('real')
    return n


def constant(text):
    raise Wrong(text)


def plain(value):
    """Strings that are text, and no NUL among them."""
    if isinstance(value, str):
        value.encode('utf-8')
        if '\0' in value:
            raise Wrong('NUL')
    elif isinstance(value, dict):
        for name in value:
            plain(name)
            plain(value[name])
    elif isinstance(value, list):
        for each in value:
            plain(each)


def loads(data):
    value = json.loads(data.decode('utf-8'), object_pairs_hook=pairs,
                       parse_int=integer, parse_float=real,
                       parse_constant=constant)
    if not isinstance(value, dict):
        raise Wrong('object')
    plain(value)
    return value


def check_header(header):
    for name in ('crit', 'b64', 'zip', 'enc', 'jwk', 'jku', 'x5u'):
        if name in header:
            raise Wrong(name)
    for name in ('kid', 'typ', 'cty'):
        if name in header and not isinstance(header[name], str):
            raise Wrong(name)
    if re.fullmatch('(application/)?jwt', header.get('cty', ''), re.I | re.A):
        raise Wrong('cty')
    if not isinstance(header.get('alg'), str):
        raise Wrong('alg')
    if not 0 < len(header.get('kid', '').encode()) <= 1024:
        raise Wrong('kid')


def check_dates(claims):
    for name in ('exp', 'nbf', 'iat'):
        if name not in claims:
            continue
        date = claims[name]
        if isinstance(date, bool) or not isinstance(date, (int, float)):
            raise Wrong(name)
        if not 0 <= date <= LIMIT:
            raise Wrong(name)


def verdict(token, keys):
    parts = token.split(b'.')
    if len(parts) != 3 or len(token) > 65536:
        raise Wrong('parts')

    data = [decode(part) for part in parts]
    header = loads(data[0])
    check_header(header)

    key = keys.get(header['kid'])
    if key is None:
        raise Wrong('key')
    if header['alg'] not in key[0]:
        raise Wrong('alg')

    claims = loads(data[1])
    check_dates(claims)

    said = jwt.decode(token.decode('ascii'), key[1],
                      algorithms=[header['alg']],
                      options={'verify_aud': False, 'verify_iat': False})
    if said != claims:
        raise Wrong('claims')
    return claims


def load(text):
    keys = {}
    for jwk in json.loads(text)['keys']:
        if jwk['kty'] == 'RSA':
            algs = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512']
        elif jwk['kty'] == 'EC':
            algs = [{'P-256': 'ES256', 'P-384': 'ES384', 'P-521': 'ES512',
                     'secp256k1': 'ES256K'}[jwk['crv']]]
        elif jwk['kty'] == 'OKP':
            algs = ['EdDSA']
        else:
            algs = ['HS256', 'HS384', 'HS512']
        keys[jwk['kid']] = (algs, jwt.PyJWK(jwk, algorithm=algs[0]).key)
    return keys


def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode('ascii')


def number(n, size):
    return text(n.to_bytes(size, 'big'))


def make(alg):
    """A private key and its public JWK."""
    if alg.startswith('HS'):
        key = b'python' * 20
        return key, {'kty': 'oct', 'k': text(key)}

    if alg[0] in 'RP':
        key = rsa.generate_private_key(65537, 2048)
        numbers = key.public_key().public_numbers()
        return key, {'kty': 'RSA', 'n': number(numbers.n, 256), 'e': 'AQAB'}

    if alg.startswith('ES'):
        curve, crv = {'ES256': (ec.SECP256R1(), 'P-256'),
                      'ES384': (ec.SECP384R1(), 'P-384'),
                      'ES512': (ec.SECP521R1(), 'P-521'),
                      'ES256K': (ec.SECP256K1(), 'secp256k1')}[alg]
        key = ec.generate_private_key(curve)
        numbers = key.public_key().public_numbers()
        size = (curve.key_size + 7) // 8
        return key, {'kty': 'EC', 'crv': crv, 'x': number(numbers.x, size),
                     'y': number(numbers.y, size)}

    key = {'Ed25519': ed25519.Ed25519PrivateKey,
           'Ed448': ed448.Ed448PrivateKey}[alg].generate()
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return key, {'kty': 'OKP', 'crv': alg, 'x': text(raw)}


def issue():
    algs = ['HS256', 'HS384', 'HS512', 'RS256', 'RS384', 'RS512', 'PS256',
            'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'ES256K', 'Ed25519',
            'Ed448']
    keys = {alg: make(alg) for alg in algs if alg[0] not in 'RP'}
    both = make('RSA')
    keys.update({alg: both for alg in algs if alg[0] in 'RP'})

    print(json.dumps({'keys': [dict(keys[alg][1], kid=alg) for alg in algs]}))

    for alg in algs:
        name = 'EdDSA' if alg.startswith('Ed') else alg
        for n in range(4):
            print(jwt.encode({'sub': 'python', 'n': n, 'exp': 9000000000},
                             keys[alg][0], algorithm=name,
                             headers={'kid': alg}))


def main():
    keys = load(sys.stdin.readline())

    for line in sys.stdin:
        try:
            claims = verdict(bytes.fromhex(line), keys)
            print('ok', json.dumps(claims))
        except (Wrong, ValueError, UnicodeError, OverflowError,
                jwt.PyJWTError) as error:
            print('no', type(error).__name__, str(error).replace('\n', ' '))


if __name__ == '__main__':
    if sys.argv[1:] == ['issue']:
        issue()
    else:
        main()
