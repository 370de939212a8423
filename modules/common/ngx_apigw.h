/*
 * Copyright (C) the apigw authors
 */


#ifndef _NGX_APIGW_H_INCLUDED_
#define _NGX_APIGW_H_INCLUDED_


/* The version of the suite: of the modules and of the command-line tool. */

#define NGX_APIGW_VERSION  "0.1.0"


#endif /* _NGX_APIGW_H_INCLUDED_ */
