/*
 * Copyright (C) the apigw authors
 */


/*
 * Published vectors: json_web_key_test.json and json_web_signature_test.json
 * of C2SP/wycheproof, testvectors_v1, by their numbers there.  What is left
 * out is in other tests: tokens by another RSA padding than they say, and the
 * examples of RFC 7520.  Where (*) stands the vectors expect the contrary:
 * sets with secrets beside public keys, and with two keys of one kid, are the
 * operator's choice here, and what is no base64url is never passed over.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "jwt_verify.h"


#define NONE  ((ngx_apigw_jws_rc_e) 100)     /* there is no such set of keys */


typedef struct {
    const char          *name;
    const char          *jwks;
    const char          *token;
    ngx_apigw_jws_rc_e   want;
} published_t;


typedef struct {
    const char          *header;
    const char          *signature;
    const char          *jwks;
} valid_t;


#define HS256_KEY                                                             \
    "{\"alg\":\"HS256\",\"use\":\"sig\",\"k\":\"-ebuDNsVZ2iJtoZ-akfXTSCt4UO"  \
    "2cruLCsbWlBinggE\",\"kid\":\"kid-aes-sign\",\"kty\":\"oct\"}"

#define ES256_KEY                                                             \
    "{\"alg\":\"ES256\",\"use\":\"sig\",\"x\":\"04N0xi21hshyvBp7I167sbE_bXq"  \
    "yqkAPfefdklMO7wY\",\"y\":\"UI8exy-C06a7DUnjIdENkxeFtHM4-l_41LqEw9nVgmw"  \
    "\",\"crv\":\"P-256\",\"kid\":\"kid-ec-sign\",\"kty\":\"EC\"}"

#define RS256_KEY                                                             \
    "{\"alg\":\"RS256\",\"use\":\"sig\",\"n\":\"kqGboBfAWttWPCA-0cGRgsY6SaY"  \
    "oIARt0B_PkaEcIq9HPYNdu9n6UuWHuuTHrjF_ZoQW97r5HaAorNvrMEGTGdxCHZdEtkHvN"  \
    "VVmrtxTBLiQCbCozXhFoIrVcr3qUBrdGnNn_M3jJi7Wg7p_-x62nS5gNG875oyheRkutHs"  \
    "QXikFZwsN3q_TsPNOVlCiHy8mxzaFTUQGm-X8UYexFyAivlDSjgDJLAZSWfxd7k9Gxuwa3"  \
    "AUfQqQcVcegmgKGCaErQ3qQbh1x7WB6iopE3_-GZ8HMAVtR9AmrVscqYsnjhaCehfAI0iK"  \
    "Ks8zXr8tISc0ORbaalrkk03H1ZrsEnDKEWQ\",\"e\":\"AQAB\",\"kid\":\"kid-rsa"  \
    "-sign\",\"kty\":\"RSA\"}"

#define ZERO_KEY                                                              \
    "{\"kty\":\"oct\",\"kid\":\"hs256-key\",\"use\":\"sig\",\"alg\":\"HS256"  \
    "\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}"

#define HS256_SIGNATURE                                                       \
    "TD37p4c_0jmreSrBSDmE0F3mYSPtkZ3WrSyI5wb_KTg"

#define ES256_SIGNATURE                                                       \
    "5cA0OHyMP7ezamUd5c9kV-FrGxdx4hbGXOdplQkutrqWrte5P-pAvsE3Ve6xSyU3YDQwUH"  \
    "jVVOtvcrEbbnZ8yA"

#define RS256_SIGNATURE                                                       \
    "HUwxI1-cZrZgcuOgBQ7G7NE-GrqK79l6GV1KT4DKXnSMFwC8pfZCzE7pmLE7mYpLCIvzC8"  \
    "7yuOjuhT0uW5oe6aaAEtR978cm-q8dfly45flqMrd_ifhi9GCsMlyi8dpQ42Ou1etZljFZ"  \
    "uWjfyk8CN1c5DaHRwhqjScAPIFp6xmzKIRUJ_xdQfUSfSlujLaixtScU518EoNP4oo1v7E"  \
    "8RAz6ZO4g2N4Xqs8OvSxYydcoTEg42QnLHe9JnXgI37Q5gSwinwaPsG3Ry56UYiLoL8mCU"  \
    "a74S51y02VsIgVmmGWgaXjM-i_lCiKQDBiBnvWlka4XhVuvd6ZWibM9cbCPtPg"

#define HS256_HEADER                                                          \
    "eyJhbGciOiJIUzI1NiIsImtpZCI6ImtpZC1hZXMtc2lnbiJ9"

#define ES256_HEADER                                                          \
    "eyJhbGciOiJFUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIn0"

#define RS256_HEADER                                                          \
    "eyJhbGciOiJSUzI1NiIsImtpZCI6ImtpZC1yc2Etc2lnbiJ9"

#define ZERO_HEADER                                                           \
    "eyJraWQiOiJoczI1Ni1rZXkiLCJhbGciOiJIUzI1NiJ9"

static const published_t  published[] = {

    { "key 1: secrets beside public keys (*)",
      "{\"keys\":[" HS256_KEY "," ES256_KEY "]}",
      HS256_HEADER ".Zm9v." HS256_SIGNATURE,
      OK },

    { "key 2: acceptsValid",
      "{\"keys\":[" HS256_KEY
      ",{\"alg\":\"HS256\",\"use\":\"sig\",\"k\":\"-xbuDNsVZ2iJtoZ-akfXTSCt4U"
      "O2cruLCsbWlBinggE\",\"kid\":\"kid-aes-sign-2\",\"kty\":\"oct\"}]}",
      HS256_HEADER ".Zm9v." HS256_SIGNATURE,
      OK },

    { "key 3: rejectsModifiedSignature",
      "{\"keys\":[" HS256_KEY
      ",{\"alg\":\"HS256\",\"use\":\"sig\",\"k\":\"-xbuDNsVZ2iJtoZ-akfXTSCt4U"
      "O2cruLCsbWlBinggE\",\"kid\":\"kid-aes-sign-2\",\"kty\":\"oct\"}]}",
      HS256_HEADER ".Zm9v.XD37p4c_0jmreSrBSDmE0F3mYSPtkZ3WrSyI5wb_KTg",
      BADSIG },

    { "key 4: two keys with one kid (*)",
      "{\"keys\":[" HS256_KEY
      ",{\"alg\":\"HS256\",\"use\":\"sig\",\"k\":\"-xxuDNsVZ2iJtos-akfXTSCt4U"
      "O2cruLCsbWlBingge\",\"kid\":\"kid-aes-sign\",\"kty\":\"oct\"}]}",
      HS256_HEADER ".Zm9v." HS256_SIGNATURE,
      OK },

    { "key 5: acceptsValid",
      "{\"keys\":[" RS256_KEY "]}",
      RS256_HEADER ".Zm9v." RS256_SIGNATURE,
      OK },

    { "key 6: rejectsWrongUse",
      "{\"keys\":[{\"alg\":\"RSA1_5\",\"use\":\"enc\",\"n\":\"kqGboBfAWttWPCA"
      "-0cGRgsY6SaYoIARt0B_PkaEcIq9HPYNdu9n6UuWHuuTHrjF_ZoQW97r5HaAorNvrMEGTG"
      "dxCHZdEtkHvNVVmrtxTBLiQCbCozXhFoIrVcr3qUBrdGnNn_M3jJi7Wg7p_-x62nS5gNG8"
      "75oyheRkutHsQXikFZwsN3q_TsPNOVlCiHy8mxzaFTUQGm-X8UYexFyAivlDSjgDJLAZSW"
      "fxd7k9Gxuwa3AUfQqQcVcegmgKGCaErQ3qQbh1x7WB6iopE3_-GZ8HMAVtR9AmrVscqYsn"
      "jhaCehfAI0iKKs8zXr8tISc0ORbaalrkk03H1ZrsEnDKEWQ\",\"e\":\"AQAB\",\"kid"
      "\":\"kid-rsa-sign\",\"kty\":\"RSA\"}]}",
      RS256_HEADER ".Zm9v." RS256_SIGNATURE,
      NONE },

    { "key 7: rejectsKeyWithRocaVulnerability",
      "{\"keys\":[{\"alg\":\"RS256\",\"use\":\"sig\",\"n\":\"AanFpofbj7KjD4Lf"
      "-N2hVMKR7yewSyXhhbirIMTGpfYEhZ_lnt5UoK98DnKIgArXGTu3MaW_HhFw16HGaTDUHq"
      "PrId7fe4r11CqRw09yBFuW79V8sYIwHdzCaWflUI6auImYbVfoN9_nD5n8N8SY9DwXw7mw"
      "ZM9wREPXoDPgOoIWl6q_MPsp7n0zs3Z5ZaiQWOOzl1S9OhwAfSiiOwz6efnXEaxuTEtPd7"
      "BjSx7NaFka8Dx9U7YqXy2RFj1O9PjyaDGuRh7YXsX3iMUSP_wSyHQg_c_qHRtKUsNSGCT7"
      "OZg0hzm2KphtjnayKJvC64vAbROBR4Ubg6Bxg9IQVZ-QYyE\",\"e\":\"AQAB\",\"kid"
      "\":\"kid-rsa-roca-sign\",\"kty\":\"RSA\"}]}",
      "eyJhbGciOiJSUzI1NiIsImtpZCI6ImtpZC1yc2Etcm9jYS1zaWduIn0.Zm9v.AF_6dFYBE"
      "aaI5OlOehaktwYarwKZwFFeKTNwz9ar6ntNh4k8oeQwiODJqT1nnX2KhrWMUc80JJIdaCq"
      "3y7wOSmlPrqRgrL5r9xqfQdokirCuynoq4Lbi226VlZmijmkyYtSeEbzvkhyjbY8cDQF_c"
      "2DMMQG8FBRNJPOSTxi_I75Twj0877G-16i3bAWcvFxcNKGQzSQNcp5Lvh15N2I3PDM5W7H"
      "aFwPO0drzLR9dsDW9uDCqHvMMyshC7rgZdqfXpkaJL8Whn_mUScnLxS7J-2wVt9xKY3LpR"
      "97HoanIK-rcqYS_eq9hY_65te4qbwPCtQMjipIgIGo9HZrNRomAB1c",
      NONE },

    { "key 8: rejects1024bitRsaKey",
      "{\"keys\":[{\"alg\":\"RS256\",\"use\":\"sig\",\"n\":\"rJBIp6T1YK-RtPyv"
      "YqFFlcucqewSAA_IReSFchE8qyiQrbARqRlXWkB2DR8j_pJQnIpYELbQWZC5Cd0PTGAU8r"
      "Mbar2AW6zpmBbi7aQf17lUBdt8XI9M9rq7FPVQ1dDdUXm1SVH_9qqWhvMPR422SbfHBEzC"
      "AtzK0ANDRo6qz78\",\"e\":\"AQAB\",\"kid\":\"RS256_1024\",\"kty\":\"RSA"
      "\"}]}",
      "eyJhbGciOiJSUzI1NiIsImtpZCI6IlJTMjU2XzEwMjQifQ..AFuv9BiuEQP1Nmidc5xFw0"
      "qIT1d0NmgqakVKmJ-mMJNzg_J1L6nNXxMrSXCS6sfGIgXc44-vk8StVf7eIKjxozqzZ3Z2"
      "jT8AX_vp6_1WOje9jSPYEwf-3OgmD2QcyV14jXVTx9s0M8WKoYIo4_zA4qGiViE18khwGd"
      "9uqsjrJVA",
      NONE },

    { "key 9: rejectsPublicExponent1",
      "{\"keys\":[{\"alg\":\"RS256\",\"use\":\"sig\",\"n\":\"u-SfdHPjFtGmzuoH"
      "6gheIIZ4nLwUHBQEtFGqOe0N8JuZUc5VOzlI8yl0r8ESilAouttkdftexj4VFJz5R9FH90"
      "ypVQDPL0H4mC_RtkcJ1DBB8MriU8dmzqSXP1SBs4s5L-pJWxKKLjXddD6gXJZ7HT_aPl2o"
      "lvlLh8JkD_52U6sjdeP3OWDKvMu5GsrMlS9XJCVaCx8r9698OEElwK-ZW9PztgTSb-MvyT"
      "uyzis5Yc13n_z0wMLahpDilI2fzNsZ3yH6htu4VXPraSEZV6C0Z7epAAAUqiUnxh3WRupE"
      "ICaewYEnW3MVS2hHwLwtPu_RR0XHoZr1oPSlQMP3Zi2QKw\",\"e\":\"AQ\",\"kid\":"
      "\"RS256_2048\",\"kty\":\"RSA\"}]}",
      "eyJhbGciOiJSUzI1NiIsImtpZCI6IlJTMjU2XzIwNDgifQ..AAH___________________"
      "______________________________________________________________________"
      "______________________________________________________________________"
      "______________________________________________________________________"
      "________________________________________ADAxMA0GCWCGSAFlAwQCAQUABCC2RQ"
      "uThyxZrC1hF3430kwQRUtpKnK2r9hhkP2mQe8zsg",
      NONE },

    { "key 10: key_too_short",
      "{\"keys\":[{\"kty\":\"oct\",\"use\":\"sig\",\"kid\":\"short_hs256_key"
      "\",\"alg\":\"HS256\",\"k\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdH"
      "g\"}]}",
      "eyJhbGciOiJIUzI1NiIsImtpZCI6InNob3J0X2hzMjU2X2tleSJ9.Zm9v.OHXFiYUEmZcu"
      "vFx8FTvvN0fCfe8bspBX1ctB4dqcv0U",
      NONE },

    { "key 11: key_too_short",
      "{\"keys\":[{\"kty\":\"oct\",\"use\":\"sig\",\"kid\":\"short_hs384_key"
      "\",\"alg\":\"HS384\",\"k\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdH"
      "h8gISIjJCUmJygpKissLS4\"}]}",
      "eyJhbGciOiJIUzM4NCIsImtpZCI6InNob3J0X2hzMzg0X2tleSJ9.Zm9v.TKvI_fld4zqT"
      "KPhLBgiDArC88o2Lr4XyabrrD50VJUPQGev0k_q3g2kTIgK6evi8",
      NONE },

    { "key 12: key_too_short",
      "{\"keys\":[{\"kty\":\"oct\",\"use\":\"sig\",\"kid\":\"short_hs512_key"
      "\",\"alg\":\"HS512\",\"k\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdH"
      "h8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0-\"}]}",
      "eyJhbGciOiJIUzUxMiIsImtpZCI6InNob3J0X2hzNTEyX2tleSJ9.Zm9v.8e1Oohdq6XP8"
      "EjQUEpX-E5fdbj9GG4JscFqPfxdN86R6DdFiRLXW6l0FZ5k4m-itvXSKDLvIsrdtJ6rZri"
      "HWiw",
      NONE },

    { "key 13: long_key",
      "{\"keys\":[{\"kty\":\"oct\",\"use\":\"sig\",\"kid\":\"long_hs256_key\""
      ",\"alg\":\"HS256\",\"k\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
      "gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0-P0A\"}]}",
      "eyJhbGciOiJIUzI1NiIsImtpZCI6ImxvbmdfaHMyNTZfa2V5In0.Zm9v.21LcS4mucXHeW"
      "xB34_udiXxb3M3MHd0127KdnfF726o",
      OK },

    { "key 14: long_key",
      "{\"keys\":[{\"kty\":\"oct\",\"use\":\"sig\",\"kid\":\"long_hs384_key\""
      ",\"alg\":\"HS384\",\"k\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
      "gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0-P0A\"}]}",
      "eyJhbGciOiJIUzM4NCIsImtpZCI6ImxvbmdfaHMzODRfa2V5In0.Zm9v.Ets-iThpZ2a7M"
      "ChVHGPUIddl87WDNMWBXzUuaqqwXhy1JQJ2e7qzF395b8dTM8XE",
      OK },

    { "key 15: long_key",
      "{\"keys\":[{\"kty\":\"oct\",\"use\":\"sig\",\"kid\":\"long_hs512_key\""
      ",\"alg\":\"HS512\",\"k\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
      "gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0-P0A\"}]}",
      "eyJhbGciOiJIUzUxMiIsImtpZCI6ImxvbmdfaHM1MTJfa2V5In0.Zm9v.QNYWqEdHjNGYf"
      "U3_Nf-ZfwaTuW9sNCtzQCNYcp64VJJPeFzph9CsN2CbBhCa2LKTJ7xXwpZPyS3KkwqLAwy"
      "17g",
      OK },

    { "key 16: empty_key",
      "{\"keys\":[{\"kty\":\"oct\",\"use\":\"sig\",\"kid\":\"hs256_key\",\"al"
      "g\":\"HS256\",\"k\":\"\"}]}",
      "eyJhbGciOiJIUzI1NiIsImtpZCI6ImhzMjU2X2tleSJ9.Zm9v.fyLEImF-r3ro2KJGK6cE"
      "1r304rKYqPMDLOwWF7A8cn4",
      NONE },

    { "key 17: empty_key",
      "{\"keys\":[{\"kty\":\"oct\",\"use\":\"sig\",\"kid\":\"hs384_key\",\"al"
      "g\":\"HS384\",\"k\":\"\"}]}",
      "eyJhbGciOiJIUzM4NCIsImtpZCI6ImhzMzg0X2tleSJ9.Zm9v.MucSluWWs1vlepYBpVrI"
      "rCv9_j1E3QjP2_bjx6Elmv6hs08BFpZHZgAzKmkuE8Hq",
      NONE },

    { "key 18: empty_key",
      "{\"keys\":[{\"kty\":\"oct\",\"use\":\"sig\",\"kid\":\"hs512_key\",\"al"
      "g\":\"HS512\",\"k\":\"\"}]}",
      "eyJhbGciOiJIUzUxMiIsImtpZCI6ImhzNTEyX2tleSJ9.Zm9v.DvLOFJrm8h9rvMXLtami"
      "3YIXZXrDVxnKAjputDbIo4NWt5WvfCkV7xlf8kqOhmQeBSi38VBBSI-Jl0tqJvrfNg",
      NONE },

    { "key 19: mismatchedAlgAndCurve",
      "{\"keys\":[{\"alg\":\"ES521\",\"use\":\"sig\",\"x\":\"04N0xi21hshyvBp7"
      "I167sbE_bXqyqkAPfefdklMO7wY\",\"y\":\"UI8exy-C06a7DUnjIdENkxeFtHM4-l_4"
      "1LqEw9nVgmw\",\"crv\":\"P-256\",\"kid\":\"kid-ec-sign\",\"kty\":\"EC\""
      "}]}",
      ES256_HEADER ".Zm9v." ES256_SIGNATURE,
      NONE },

    { "key 20: mismatchedAlgAndCurve",
      "{\"keys\":[{\"alg\":\"ES224\",\"use\":\"sig\",\"x\":\"04N0xi21hshyvBp7"
      "I167sbE_bXqyqkAPfefdklMO7wY\",\"y\":\"UI8exy-C06a7DUnjIdENkxeFtHM4-l_4"
      "1LqEw9nVgmw\",\"crv\":\"P-256\",\"kid\":\"kid-ec-sign\",\"kty\":\"EC\""
      "}]}",
      ES256_HEADER ".Zm9v." ES256_SIGNATURE,
      NONE },

    { "key 21: use enc",
      "{\"keys\":[{\"alg\":\"ES256\",\"use\":\"enc\",\"x\":\"04N0xi21hshyvBp7"
      "I167sbE_bXqyqkAPfefdklMO7wY\",\"y\":\"UI8exy-C06a7DUnjIdENkxeFtHM4-l_4"
      "1LqEw9nVgmw\",\"crv\":\"P-256\",\"kid\":\"kid-ec-sign\",\"kty\":\"EC\""
      "}]}",
      ES256_HEADER ".Zm9v." ES256_SIGNATURE,
      NONE },

    { "key 22: invalid_point",
      "{\"keys\":[{\"alg\":\"ES256\",\"use\":\"sig\",\"x\":\"04N0xi21hshyvBp7"
      "I167sbE_bXqyqkAPfefdklMO7wY\",\"y\":\"UI8exy-C06a7DUnjIdENkxeFtHM4-l_4"
      "1LqEw9nVgnw\",\"crv\":\"P-256\",\"kid\":\"kid-ec-sign\",\"kty\":\"EC\""
      "}]}",
      ES256_HEADER ".Zm9v." ES256_SIGNATURE,
      NONE },

    { "key 23: wrong_curve",
      "{\"keys\":[{\"alg\":\"ES256\",\"use\":\"sig\",\"x\":\"04N0xi21hshyvBp7"
      "I167sbE_bXqyqkAPfefdklMO7wY\",\"y\":\"UI8exy-C06a7DUnjIdENkxeFtHM4-l_4"
      "1LqEw9nVgmw\",\"crv\":\"P-384\",\"kid\":\"kid-ec-sign\",\"kty\":\"EC\""
      "}]}",
      ES256_HEADER ".Zm9v." ES256_SIGNATURE,
      NONE },

    { "key 24: wrong_kty",
      "{\"keys\":[{\"alg\":\"ES256\",\"use\":\"sig\",\"x\":\"04N0xi21hshyvBp7"
      "I167sbE_bXqyqkAPfefdklMO7wY\",\"y\":\"UI8exy-C06a7DUnjIdENkxeFtHM4-l_4"
      "1LqEw9nVgmw\",\"crv\":\"P-256\",\"kid\":\"kid-ec-sign\",\"kty\":\"RSA"
      "\"}]}",
      ES256_HEADER ".Zm9v." ES256_SIGNATURE,
      NONE },

    { "key 25: rejectsAesKey",
      "{\"keys\":[{\"alg\":\"A256GCM\",\"use\":\"sig\",\"k\":\"-ebuDNsVZ2iJto"
      "Z-akfXTSCt4UO2cruLCsbWlBinggE\",\"kid\":\"kid-aes-sign\",\"kty\":\"oct"
      "\"}]}",
      HS256_HEADER ".Zm9v." HS256_SIGNATURE,
      NONE },

    { "key 26: rejectsAesKey",
      "{\"keys\":[{\"alg\":\"A256KW\",\"use\":\"sig\",\"k\":\"-ebuDNsVZ2iJtoZ"
      "-akfXTSCt4UO2cruLCsbWlBinggE\",\"kid\":\"kid-aes-sign\",\"kty\":\"oct"
      "\"}]}",
      HS256_HEADER ".Zm9v." HS256_SIGNATURE,
      NONE },

    { "signature 31: the point as a secret",
      ES256_KEY,
      "eyJhbGciOiJIUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIn0.Zm9v.TgWtz2FIRukBQ_mA5"
      "sgHa0Ybtgn7bl-YBPAi7Z0XdHU",
      NOALG },

    { "signature 32: rejectsAttackerProvidedEmbeddedJwk",
      ES256_KEY,
      "eyJhbGciOiJFUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIiwiandrIjp7Imt0eSI6IkVDIi"
      "wia2lkIjoia2lkLWVjLXNpZ24iLCJ1c2UiOiJzaWciLCJhbGciOiJFUzI1NiIsIngiOiJN"
      "ZG5UWkRJaERKYmZBU2RGcWFtY3BPMkNoOUdOS0sybTBNUWxoNDAyU3BvIiwieSI6Ijdhdk"
      "o0bHFfV3l4LW5MUERCUTJZcHl0dUh5TWlvMDdCVXl2bDNqYUMtMVkiLCJjcnYiOiJQLTI1"
      "NiJ9fQ.Zm9v.4jmsollQD8ZxvySzXYnIEYA4fwaZi2ZbC0aI1J4LYmW2Bn31NhKdjms2N6"
      "o51Dff5-InWXQF9m45VtTexl6yjg",
      BAD },

    { "signature 354: use enc",
      "{\"use\":\"enc\",\"x\":\"04N0xi21hshyvBp7I167sbE_bXqyqkAPfefdklMO7wY\""
      ",\"y\":\"UI8exy-C06a7DUnjIdENkxeFtHM4-l_41LqEw9nVgmw\",\"crv\":\"P-256"
      "\",\"kid\":\"kid-ec-sign\",\"kty\":\"EC\"}",
      ES256_HEADER ".Zm9v." ES256_SIGNATURE,
      NONE },

    { "signature 356: key_ops encrypt",
      "{\"key_ops\":[\"encrypt\"],\"x\":\"04N0xi21hshyvBp7I167sbE_bXqyqkAPfef"
      "dklMO7wY\",\"y\":\"UI8exy-C06a7DUnjIdENkxeFtHM4-l_41LqEw9nVgmw\",\"crv"
      "\":\"P-256\",\"kid\":\"kid-ec-sign\",\"kty\":\"EC\"}",
      ES256_HEADER ".Zm9v." ES256_SIGNATURE,
      NONE },

    { "signature 357: ValidMac",
      ZERO_KEY,
      ZERO_HEADER ".VGVzdA.c1LROH7eNQwUT8KMVEO52VC3WZ9e_AnDWbZ7aMmowV8",
      OK },

    { "signature 358: ValidEdgeCaseMac",
      ZERO_KEY,
      ZERO_HEADER ".VDIxMzI1NjY4.AAAAtBuQqoI9HuBeAsgjL4nx8sCGYJa5-G2OrureLO4",
      OK },

    { "signature 359: ValidEdgeCaseMac",
      ZERO_KEY,
      ZERO_HEADER ".VDgxMjM0MTM.____ETVRY0lRV9XgQeYX6ixdGT0NLHYb-wZem_ifJ5k",
      OK },

    { "signature 360: spaces in the MAC",
      ZERO_KEY,
      ZERO_HEADER ".VGVzdA.    c1LROH7eNQwUT8KMVEO52VC3WZ9e_AnDWbZ7aMmowV8",
      BAD },

    { "signature 361: a wrong character in the MAC",
      ZERO_KEY,
      ZERO_HEADER ".VGVzdA.?c1LROH7eNQwUT8KMVEO52VC3WZ9e_AnDWbZ7aMmowV8",
      BAD },

    { "signature 362: a wrong character behind the MAC",
      ZERO_KEY,
      ZERO_HEADER ".VGVzdA.c1LROH7eNQwUT8KMVEO52VC3WZ9e_AnDWbZ7aMmowV8?",
      BAD },

    { "signature 363: 0 replaced by a wrong character",
      ZERO_KEY,
      ZERO_HEADER ".VDIxMzI1NjY4.?AAAtBuQqoI9HuBeAsgjL4nx8sCGYJa5-G2OrureLO4",
      BAD },

    { "signature 364: wrong characters",
      ZERO_KEY,
      ZERO_HEADER ".VDgxMjM0MTM.????ETVRY0lRV9XgQeYX6ixdGT0NLHYb-wZem_ifJ5k",
      BAD },

    { "signature 365: spaces in the header",
      ZERO_KEY,
      ZERO_HEADER "    .VGVzdA.DR-cdw2cCB53b3mpzMfk2gKTeyN0PhXBrTW1atMfSdM",
      BAD },

    { "signature 366: wrong characters in the header",
      ZERO_KEY,
      ZERO_HEADER "####.VGVzdA.23srvDiEYo7665_26qKv4D-0E2a149WRWH_av2ki2I4",
      BAD },

    { "signature 368: spaces in the payload",
      ZERO_KEY,
      ZERO_HEADER ".    VGVzdA.AbPJgmXfihyNBUYpbdPK8qRpPjNuTE-Z_wYQyrU2lMQ",
      BAD },

    { "signature 369: wrong characters in the payload",
      ZERO_KEY,
      ZERO_HEADER ".####VGVzdA.Ixs2CdBkk8qjqe2-hq2dobqVvv9iDcDS6gPNgoXJyFY",
      BAD },

    { "signature 371: a wrong character in the payload",
      ZERO_KEY,
      ZERO_HEADER ".?VGVzdA.q0zEA3Js33N6HcOFfBK875qJ_nFwSzI9SN9qJnx5sOc",
      BAD },

    { "signature 372: a wrong character in the header, not in the MAC (*)",
      ZERO_KEY,
      "eyJraWQiOiJoczI1Ni1rZXkiLCJhbGciOiJIUzI1NiJ?9.VGVzdA.c1LROH7eNQwUT8KMV"
      "EO52VC3WZ9e_AnDWbZ7aMmowV8",
      BAD },

    { "signature 373: a wrong character in the payload, not in the MAC (*)",
      ZERO_KEY,
      ZERO_HEADER ".VGVzdA?.c1LROH7eNQwUT8KMVEO52VC3WZ9e_AnDWbZ7aMmowV8",
      BAD },

    { "signature 374: unused bits of the payload",
      ZERO_KEY,
      ZERO_HEADER ".AB.8sL_ycV8G_D-K_2A3I0EW3NoPMeQzv13cAzuHlQ5TAE",
      BAD },

    { "signature 375: the same",
      ZERO_KEY,
      ZERO_HEADER ".AB.9phoKDvkBMAqTgeVIYeqAi6-lvC0pbKg9ER--3T97w0",
      BAD },

    { "signature 376: ValidSpacesInJsonHeader",
      ZERO_KEY,
      "eyAia2lkIiA6ICJoczI1Ni1rZXkiLCAiYWxnIiA6ICJIUzI1NiIgfQ.VGVzdA.3nl1C7dK"
      "VGLfNyALp4ZKkmNFBJlFP8M9VGzCyil9S1c",
      OK },

    { "signature 377: ValidWhiteSpaceInJsonHeader",
      ZERO_KEY,
      "eyJraWQiOiJoczI1Ni1rZXkiLAoJImFsZyI6IkhTMjU2In0.VGVzdA.Yxn8cTl7IHpFIoE"
      "POFrWmjm-GQlr_RMqHNJOp1ZuweY",
      OK }
};


/* Signatures 1 to 34: by these keys, of "foo". */

static const valid_t  valid[] = {
    { HS256_HEADER, HS256_SIGNATURE, HS256_KEY },
    { ES256_HEADER, ES256_SIGNATURE, ES256_KEY },
    { RS256_HEADER, RS256_SIGNATURE, RS256_KEY }
};


static ngx_apigw_jws_rc_e
verify(const char *token, const char *jwks)
{
    char                 error[NGX_APIGW_JWKS_ERROR];
    ngx_apigw_jwks_t    *set;
    ngx_apigw_jws_rc_e   rc;

    set = ngx_apigw_jwks_parse((u_char *) jwks, strlen(jwks),
                               NGX_APIGW_JWKS_JSON, NGX_APIGW_JWKS_SECRETS,
                               error);

    if (set == NULL) {
        return NONE;
    }

    rc = verify_set(token, strlen(token), set, ALL);
    ngx_apigw_jwks_free(set);

    return rc;
}


static void
test_published(void)
{
    size_t  i;

    for (i = 0; i < sizeof(published) / sizeof(published_t); i++) {
        is(verify(published[i].token, published[i].jwks), published[i].want,
           published[i].name);
    }
}


/* The parts of a token, left out and changed. */

static void
test_parts(void)
{
    char           *other, *h, *s;
    size_t          i;
    const char     *jwks;
    const valid_t  *v;

    for (i = 0; i < sizeof(valid) / sizeof(valid_t); i++) {

        v = &valid[i];
        h = (char *) v->header;
        s = (char *) v->signature;
        jwks = v->jwks;

        is(verify(test_print("%s.Zm9v.%s", h, s), jwks), OK, "acceptsValid");

        other = test_print("%s", s);
        other[0] = 'X';
        is(verify(test_print("%s.Zm9v.%s", h, other), jwks), BADSIG,
           "rejectsModifiedSignature");

        is(verify(test_print("%s.WG9v.%s", h, s), jwks), BADSIG,
           "rejectsModifiedPayload");

        other = test_print("%s", h);
        ngx_memcpy(strstr(other, "ImtpZC1"), "IlhpZC1", 7);
        is(verify(test_print("%s.Zm9v.%s", other, s), jwks), NOKEY,
           "rejectsModifiedHeader");

        is(verify(test_print("%s.Zm9v.", h), jwks), BAD,
           "rejectsMissingSignature");
        is(verify(test_print("%s.Zm9v", h), jwks), BAD,
           "rejectsMissingSignatureAndSeparator");
        is(verify(test_print("%s..%s", h, s), jwks), BAD,
           "rejectsMissingPayload");
        is(verify(test_print("%s.%s", h, s), jwks), BAD,
           "rejectsMissingPayloadAndSeparator");
        is(verify(test_print(".Zm9v.%s", s), jwks), BAD,
           "rejectsMissingHeader");
        is(verify(test_print("Zm9v.%s", s), jwks), BAD,
           "rejectsMissingHeaderAndSeparator");
        is(verify(".Zm9v.", jwks), BAD, "rejectsMissingHeaderAndSignature");
        is(verify("Zm9v", jwks), BAD,
           "rejectsMissingHeaderSignatureAndSeparators");
        is(verify("", jwks), BAD, "rejectsEmptyString");
        is(verify(test_print("%s.Zm9v.%s.", h, s), jwks), BAD,
           "rejectsExtraEmptyComponent");
        is(verify(test_print("%s.Zm9v.%s.foo", h, s), jwks), BAD,
           "rejectsExtraComponent");
        is(verify(test_print("{\"payload\":\"Zm9v\",\"signatures\":[{"
                             "\"protected\":\"%s\",\"signature\":\"%s\"}]}",
                             h, s), jwks), BAD,
           "rejectsValidJsonSerialization");
    }
}


/* Signatures 378 to 401: r and s of ES256. */

static void
test_ecdsa(void)
{
    char    *input;
    u_char   sig[64], wrong[600], *p;
    size_t   i, j;

    static const char *const  digits =
        "_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE";

    input = test_print(ES256_HEADER ".Zm9v");
    (void) ngx_apigw_base64_decode(sig, (u_char *) ES256_SIGNATURE, 86);

    is(verify(test_print("%s.5cA0OHyMP7ezamUd5c9kV-FrGxdx4hbGXOdplQkutrppUShF"
                         "wBW_Qj7IqhFOtNrIXLLKXS5CSZmERxmnjeyoiQ", input),
              ES256_KEY), OK, "the other s");

    ngx_memzero(wrong, sizeof(wrong));
    ngx_memcpy(wrong + 1, sig, 32);
    ngx_memcpy(wrong + 34, sig + 32, 32);
    is(verify(test_join(input, wrong, 66), ES256_KEY), BADSIG, "too long");

    wrong[0] = 1;
    is(verify(test_join(input, wrong, 66), ES256_KEY), BADSIG,
       "an overflow of r");

    wrong[0] = 0;
    wrong[33] = 1;
    is(verify(test_join(input, wrong, 66), ES256_KEY), BADSIG,
       "an overflow of s");

    ngx_memzero(wrong, sizeof(wrong));
    ngx_memcpy(wrong, sig, 32);
    ngx_memcpy(wrong + 33, sig + 32, 32);
    is(verify(test_join(input, wrong, 66), ES256_KEY), BADSIG,
       "zeroes behind");

    ngx_memzero(wrong, sizeof(wrong));
    ngx_memcpy(wrong + 268, sig, 32);
    ngx_memcpy(wrong + 568, sig + 32, 32);
    is(verify(test_join(input, wrong, 600), ES256_KEY), BADSIG,
       "far too long");

    /* 0, 1, n - 1 and n */

    for (i = 0; i < 16; i++) {
        for (j = 0; j < 2; j++) {
            p = wrong + j * 32;
            ngx_memzero(p, 32);

            switch (j ? i / 4 : i % 4) {

            case 1:
                p[31] = 1;
                break;

            case 2:
            case 3:
                (void) ngx_apigw_base64_decode(p, (u_char *) digits, 43);
                p[31] -= (j ? i / 4 : i % 4) == 2;
            }
        }

        is(verify(test_join(input, wrong, 64), ES256_KEY), BADSIG,
           test_print("r and s of the border, %lu", (u_long) i));
    }
}


int
main(void)
{
    verifier = ngx_apigw_jws_verifier_create();

    ok(verifier != NULL, "verifier");

    test_published();
    test_parts();
    test_ecdsa();

    ngx_apigw_jws_verifier_free(verifier);

    printf("1..%lu\n", (u_long) number);

    return 0;
}
